"""Golden samples as they are written: V2 documents, eight rows, with a tolerance of the output's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.null import Null
from gantline.accelerators.replay import read_golden, replay
from gantline.accelerators.session import Session
from gantline.builders.golden import ROWS, record, satisfied

import gantline
from gantline.errors import BadArtefact, UsageError, VerificationFailed
from gantline.manifest import EnvironmentRequest, Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1, 1))), (TensorSpec("y", "FP64", (-1, 3)),)
)


class Scaled(Null):
    def run(self, inputs, outputs):  # type: ignore[no-untyped-def]
        return [np.repeat(inputs["x"][:, :1].astype(np.float64) * 1000, 3, axis=1)]


def scaled(root: Path) -> Session:
    return Session(Package(root, Manifest(name="m", engine="null", signature=SIGNATURE), None), Scaled(SIGNATURE))


def test_up_to_eight_rows_come_back_as_they_were(tmp_path: Path) -> None:
    session = scaled(tmp_path)
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    text = np.array([[f"é{i}".encode()] for i in range(20)], object)
    golden = record(session, {"x": x, "t": text}, tmp_path, 1e-3, whole=False)
    request, reply = read_golden(tmp_path, golden)
    assert np.array_equal(request.inputs["x"], x[:ROWS]) and request.inputs["t"].tolist() == text[:ROWS].tolist()
    assert request.binary_output and (reply.model, reply.version) == ("m", "1")
    assert reply.outputs[0][1].dtype == np.float64 and reply.outputs[0][1][1, 0] == 2000.0
    assert golden.rtol == 1e-3 and 1e-3 < golden.atol < 1e-1  # a millionth of some thousands
    assert (tmp_path / golden.request).read_bytes()[: golden.request_header].endswith(b"}")


def test_rows_that_may_not_be_cut_are_whole(tmp_path: Path) -> None:
    session = scaled(tmp_path)
    some = {"x": np.zeros((12, 2), np.float32), "t": np.full((12, 1), b"", object)}
    golden = record(session, some, tmp_path, 1e-4, whole=True)
    request, _ = read_golden(tmp_path, golden)
    assert len(request.inputs["x"]) == 12 and golden.atol == 0.0


def scripted(root: Path, run: str, body: bytes = b'{"data": [1.5, 2]}', suffix: str = ".json", **words: Any) -> Package:
    """A package of a script whose run(d) is `run`, with `body` as its sample."""
    (root / "src").mkdir()
    (root / "src" / "score.py").write_text(f"import json, time\ndef init(): pass\ndef run(d):\n    {run}\n")
    sample = root / f"body{suffix}"
    sample.write_bytes(body)
    return gantline.package(root / "src", name="m", sample=sample, output=root / "m.pkg", **words)


def test_a_scripts_body_and_its_answer(tmp_path: Path) -> None:
    run = "open('left.txt', 'w').close(); return {'sum': sum(json.loads(d)['data'])}"
    package = scripted(tmp_path, run)
    (golden,) = package.manifest.golden
    assert (golden.kind, golden.content_type) == ("score", "application/json")
    assert (package.path / golden.request).read_bytes() == b'{"data": [1.5, 2]}'
    assert (package.path / golden.reply).read_bytes() == b'{"sum": 3.5}'
    assert [f.path for f in package.manifest.files] == ["code/score.py", "golden/reply.bin", "golden/request.bin"]
    assert not any("golden" in n for n in package.manifest.notes)
    session = Session.open(package)
    try:
        assert replay(session)[0].max_rel == 0
    finally:
        session.close()


def test_other_bodies_keep_their_bytes(tmp_path: Path) -> None:
    package = scripted(tmp_path, "return d.upper()", b"plain\r\n", ".txt", env="current")
    (golden,) = package.manifest.golden
    assert golden.content_type == "application/octet-stream"
    assert (package.path / golden.request).read_bytes() == b"plain\r\n"
    assert (package.path / golden.reply).read_bytes() == b'"PLAIN\\r\\n"'


@pytest.mark.parametrize(
    ("run", "note"),
    [
        ("return {'took': [time.time_ns()]}", r"does not answer the same: $.took[0]: expected "),
        ("yield d", "the script streams its answer"),
    ],
)
def test_answers_that_cannot_be_kept_are_noted(tmp_path: Path, run: str, note: str) -> None:
    package = scripted(tmp_path, run)
    assert package.manifest.golden == () and not (package.path / "golden").exists()
    assert any(n.startswith("no golden sample: ") and note in n for n in package.manifest.notes)


def test_no_sample_is_noted(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def init(): raise OSError('never run')\ndef run(d): pass\n")
    package = gantline.package(script=tmp_path / "score.py", name="m", output=tmp_path / "m.pkg")
    assert "no golden sample: package it with --sample BODY.json" in package.manifest.notes


def test_a_script_that_fails_is_not_packaged(tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match=r"answered with status 500: KeyError: 'rows'$"):
        scripted(tmp_path, "return json.loads(d)['rows']")
    with pytest.raises(BadArtefact, match=r"gone\.json: cannot be read as a sample: No such file"):
        gantline.package(tmp_path / "src", name="m", sample=tmp_path / "gone.json", output=tmp_path / "m.pkg")
    with pytest.raises(UsageError, match="the path of a body"):
        gantline.package(tmp_path / "src", name="m", sample=[[1, 2]], output=tmp_path / "m.pkg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["body.json", "src"]


@pytest.mark.parametrize(
    ("lines", "python", "there"),
    [
        (("numpy", "--index-url https://example.org", "attrs<0.1; python_version < '3'"), "", True),
        ((f"numpy=={np.__version__} --hash=sha256:00",), "", True),
        (("numpy<1",), "", False),
        (("numpy",), "3.2", False),
        (("no-such-distribution-here",), "", False),
        (("numpy[extra]",), "", False),
        (("./local",), "", False),
    ],
)
def test_what_this_interpreter_satisfies(lines: tuple[str, ...], python: str, there: bool) -> None:
    assert satisfied(EnvironmentRequest("requirements", python, lines)) is there
    assert satisfied(EnvironmentRequest())
