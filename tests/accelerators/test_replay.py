"""Golden samples through a session: what holds, and the words for what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.null import Null
from gantline.accelerators.replay import read_golden, replay
from gantline.accelerators.session import Session

from gantline.errors import BadRequest, VerificationFailed
from gantline.manifest import Golden, Manifest, ScriptInfo
from gantline.packages import Package
from gantline.request import Reply, Request
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array
from gantline.wire.v2 import encode_reply, encode_request

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("s", "BYTES", (-1, 1))),
    (TensorSpec("y", "FP32", (-1, 1)), TensorSpec("label", "BYTES", (-1,))),
)
ROWS = 3
INPUTS: dict[str, Array] = {"x": np.ones((ROWS, 2), np.float32), "s": np.full((ROWS, 1), b"a", object)}


def session(root: Path, y: float = 0.0, label: bytes = b"", rtol: float = 1e-4) -> Session:
    """The null engine (zeros and empty text) with one golden sample that says `y` and `label`."""
    request = Request(dict(INPUTS), binary_output=True)
    outputs = [("y", np.full((ROWS, 1), y, np.float32)), ("label", np.full(ROWS, label, object))]
    body, header = encode_request(request)
    answer, answer_header = encode_reply(Reply("null", "1", outputs), request)
    (root / "request.bin").write_bytes(body)
    (root / "reply.bin").write_bytes(answer)
    golden = Golden("request.bin", "reply.bin", "tensors", header or 0, answer_header or 0, rtol, 0.0)
    manifest = Manifest(name="null", engine="null", signature=SIGNATURE, golden=(golden,))
    return Session(Package(root, manifest, None), Null(SIGNATURE))


def test_what_holds_is_counted(tmp_path: Path) -> None:
    (found,) = replay(session(tmp_path))
    assert (found.rows, found.max_rel) == (ROWS, 0.0)
    assert [d.output for d in found.differences] == ["y", "label"]


def test_what_does_not_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match=r"request\.bin: replayed, output 'y': relative error 1 .*row 0"):
        replay(session(tmp_path, y=5.0))
    with pytest.raises(VerificationFailed, match=r"output 'label': 3 of 3 rows differ.*expected cat, got "):
        replay(session(tmp_path, label=b"cat"))


def test_the_samples_own_tolerance_is_used(tmp_path: Path) -> None:
    assert replay(session(tmp_path, y=5.0, rtol=1.0))[0].max_rel == 1.0


def test_samples_of_bodies_need_a_script(tmp_path: Path) -> None:
    one = session(tmp_path)
    golden = tuple(replace(g, kind="score") for g in one.package.manifest.golden)
    one.package = Package(tmp_path, replace(one.package.manifest, golden=golden), None)
    with pytest.raises(VerificationFailed, match=r"request\.bin: replayed, model 'null': .*no script with init"):
        replay(one)


def test_a_body_is_sent_again(tmp_path: Path) -> None:
    script = "import json\ndef init(): pass\ndef run(d): return {'y': [v / 3 for v in json.loads(d)], 'of': 'thirds'}\n"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(script)
    (tmp_path / "request.bin").write_bytes(b"[1, 2.5]")
    (tmp_path / "reply.bin").write_bytes(b'{"of": "thirds", "y": [0.33333, 0.83333]}')
    golden = Golden("request.bin", "reply.bin", "score")
    manifest = Manifest(name="m", engine="script", script=ScriptInfo("score.py"), golden=(golden,))
    one = Session.open(Package(tmp_path, manifest, None))
    try:
        (found,) = replay(one)
        assert found.rows == 0 and 0 < found.max_rel < 1e-4
        (tmp_path / "reply.bin").write_bytes(b'{"of": "thirds", "y": [0.33333, 0.84]}')
        with pytest.raises(
            VerificationFailed, match=r"request\.bin: replayed, \$\.y\[1\]: expected 0\.84, got 0\.8333"
        ):
            replay(one)
        (tmp_path / "request.bin").write_bytes(b"[1, null]")
        with pytest.raises(VerificationFailed, match=r"request\.bin: replayed, .* status 500: TypeError: unsupported"):
            replay(one)
        (tmp_path / "reply.bin").unlink()
        with pytest.raises(VerificationFailed, match=r"reply\.bin: cannot be read"):
            replay(one)
    finally:
        one.close()


@pytest.mark.parametrize("damage", [b"", b"not json at all", b'{"inputs": 3}'])
def test_damaged_files_are_named(tmp_path: Path, damage: bytes) -> None:
    one = session(tmp_path)
    whole = (tmp_path / "request.bin").read_bytes()
    (tmp_path / "request.bin").write_bytes(damage)
    with pytest.raises(VerificationFailed, match=r"request\.bin: not a golden request"):
        replay(one)
    (tmp_path / "request.bin").write_bytes(whole)
    (tmp_path / "reply.bin").write_bytes(damage)
    with pytest.raises(VerificationFailed, match=r"reply\.bin: not a golden reply"):
        replay(one)
    (tmp_path / "reply.bin").unlink()
    with pytest.raises(VerificationFailed, match=r"reply\.bin: not a golden reply"):
        read_golden(tmp_path, one.package.manifest.golden[0])


def test_a_sample_that_the_model_does_not_take(tmp_path: Path) -> None:
    one = session(tmp_path)
    one.signature = Signature((TensorSpec("x", "FP32", (-1, 5)),), SIGNATURE.outputs)
    with pytest.raises(BadRequest, match=r"input 'x' has shape"):
        replay(one)
