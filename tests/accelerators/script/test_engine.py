"""A script as an engine: for V2, for verify, for parity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script.engine import load

from gantline.errors import BadArtefact, BadRequest, DeadlineExceeded, ScriptFailed, UsageError
from gantline.manifest import Manifest, ScriptInfo
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec

from .conftest import Start

TWICE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("s", "BYTES", (-1,))),
    (TensorSpec("y", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1,))),
)
INFER = """
    import numpy as np
    def init():
        global factor
        factor = 2
    def infer(inputs):
        if inputs["x"].size == 0:
            raise ValueError("empty")
        if inputs["x"][0, 0] == -1:
            return {"y": inputs["x"]}
        inputs["x"] *= factor  # inputs may be written to
        return {"y": inputs["x"], "t": np.array([s.decode() + "!" for s in inputs["s"]])}
"""


def objects(*values: bytes) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def test_tensors(start: Start) -> None:
    engine = start(INFER, contract="tensors", signature=TWICE)
    x = np.array([[1, 2], [3, 4]], np.float32)
    y, t = engine.run({"x": x, "s": objects(b"a", "ü".encode())}, ["y", "t"])
    assert y.dtype == np.float32 and y.tolist() == [[2, 4], [6, 8]] and t.tolist() == [b"a!", "ü!".encode()]
    assert x.tolist() == [[1, 2], [3, 4]]
    (only,) = engine.run({"x": x, "s": objects(b"a", b"b")}, ["t"])
    assert only.tolist() == [b"a!", b"b!"]
    big = np.ones((500_000, 2), np.float32)
    assert engine.run({"x": big, "s": objects(b"a")}, ["y"])[0].sum() == 2_000_000


def test_what_infer_does_wrong(start: Start) -> None:
    engine = start(INFER, contract="tensors", signature=TWICE)
    with pytest.raises(ScriptFailed, match="the log has the traceback"):
        engine.run({"x": np.zeros((0, 2), np.float32), "s": objects()}, ["y"])
    with pytest.raises(ScriptFailed, match="did not answer output 't'"):
        engine.run({"x": np.full((1, 2), -1, np.float32), "s": objects(b"")}, ["y", "t"])


def test_bodies_in_and_bodies_out(start: Start) -> None:
    engine = start("import json\ndef init(): pass\ndef run(data): return json.loads(data)")
    (found,) = engine.run({"data": objects(b"[1, 2]", b'{"a": 3}')}, ["result"])
    assert found.tolist() == [b"[1, 2]", b'{"a": 3}'] and found.shape == (2,)
    with pytest.raises(ScriptFailed):
        engine.run({"data": objects(b"[")}, ["result"])
    with pytest.raises(BadRequest, match="cannot be decoded as UTF-8"):
        engine.run({"data": objects(b"\xff")}, ["result"])


def test_deaths_and_limits_are_errors_of_their_own(start: Start) -> None:
    engine = start(
        "import os, time\ndef init(): pass\ndef run(d): time.sleep(60) if d == 's' else os._exit(3)",
        options=EngineOptions(timeout_s=0.2),
    )
    with pytest.raises(DeadlineExceeded, match="scoring timeout after 200 ms"):
        engine.run({"data": objects(b"s")}, ["result"])
    with pytest.raises(ScriptFailed, match="process died"):
        engine.run({"data": objects(b"d")}, ["result"])


def test_one_body_as_score_answers_it(start: Start) -> None:
    engine = start(
        """
        def init(): pass
        def run(data, request_headers):
            if data == "stream":
                return ("x" * 100_000 for _ in iter(int, 1))  # without end
            if data == "odd":
                return object()
            if data == "bad":
                raise ValueError("no column 'a'\\nand more")
            return [data, request_headers["Content-Type"]]
        """
    )
    assert engine.score(b"1", "text/x") == (200, b'["1", "text/x"]', "", False)
    assert engine.score(b"bad", "text/x") == (500, b"ValueError: no column 'a'", "ValueError: no column 'a'", False)
    assert engine.score(b"odd", "text/x").why.startswith("TypeError: Object of type object is not JSON")
    assert engine.score(b"\xff", "text/x").status == 400
    streamed = engine.score(b"stream", "text/x")
    assert streamed.streamed and streamed.status == 200
    assert engine.score(b"2", "text/x").body == b'["2", "text/x"]'


def test_a_body_that_kills_or_takes_too_long(start: Start) -> None:
    engine = start(
        "import os, time\ndef init(): pass\ndef run(d): time.sleep(60) if d == 's' else os._exit(3)",
        options=EngineOptions(timeout_s=0.2),
    )
    assert engine.score(b"s", "")[::2] == (500, "run() took more than 200 ms")
    assert "process died" in engine.score(b"d", "").why


def test_packages_that_cannot_be_loaded(tmp_path: Path) -> None:
    def package(**words: object) -> Package:
        return Package(tmp_path, Manifest(name="m", engine="script", **words), None)  # type: ignore[arg-type]

    with pytest.raises(BadArtefact, match="without a script"):
        load(package(), EngineOptions())
    with pytest.raises(BadArtefact, match=r"code/score\.py is missing"):
        load(package(script=ScriptInfo("score.py")), EngineOptions())
    with pytest.raises(UsageError, match=r"may unpickle models/m\.pkl"):
        load(package(script=ScriptInfo("score.py", pickles=("models/m.pkl",))), EngineOptions(allow_pickle=False))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("def infer(x): return x")
    with pytest.raises(BadArtefact, match="needs a signature"):
        load(package(script=ScriptInfo("score.py", contract="tensors")), EngineOptions())


def test_threads_are_told_to_libraries(start: Start) -> None:
    engine = start(
        "import os\ndef init(): pass\ndef run(d): return os.environ.get('OMP_NUM_THREADS')",
        options=EngineOptions(threads=3),
    )
    assert engine.run({"data": objects(b"")}, ["result"])[0][0] in (b'"3"', *_already())


def _already() -> list[bytes]:
    import os

    return [f'"{os.environ["OMP_NUM_THREADS"]}"'.encode()] if "OMP_NUM_THREADS" in os.environ else []
