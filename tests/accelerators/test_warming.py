"""Warming: golden rows where there are some, zeros where there are none, and what happens when they are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators import replay as replaying
from gantline.accelerators import warming
from gantline.accelerators.engine import Engine
from gantline.accelerators.session import Session
from gantline.accelerators.warming import example, warm_up
from onnx import TensorProto, helper, save_model

import gantline
from gantline.errors import EngineFailed, ScriptFailed
from gantline.manifest import Golden, Manifest, ScriptInfo
from gantline.packages import Package
from gantline.tensors import Array


def refuses_zero(path: Path) -> Path:
    """An ONNX model that fails on a category it does not know, as one-hot encoders do."""
    node = helper.make_node("OneHotEncoder", ["x"], ["y"], domain="ai.onnx.ml", cats_int64s=[3, 4], zeros=0)
    x = helper.make_tensor_value_info("x", TensorProto.INT64, [None, 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1, 2])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    save_model(helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=8), path)
    return path


def test_a_golden_sample_is_what_it_runs(tmp_path: Path) -> None:
    rows = np.array([[3], [4], [4]], np.int64)
    package = gantline.package(refuses_zero(tmp_path / "m.onnx"), name="m", sample=rows, output=tmp_path / "m.pkg")
    session = Session.open(package)
    assert example(session, 5)["x"].tolist() == [[3], [4], [4], [3], [4]]
    warm_up(session)
    assert session.run_ns > 0
    session.close()


class Clocked:
    """An engine whose runs take so many milliseconds, one after the other, by a clock of its own; the last for ever."""

    def __init__(self, engine: Engine, patch: pytest.MonkeyPatch, *took: float) -> None:
        self.engine = engine
        self.signature = engine.signature
        self.close = engine.close
        self.took = list(took)
        self.rows: list[int] = []
        self.now = 1
        patch.setattr(warming, "perf_counter_ns", lambda: self.now)
        patch.setattr(replaying, "perf_counter_ns", lambda: self.now)

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        self.rows.append(len(next(iter(inputs.values()))))
        self.now += int(1e6 * (self.took.pop(0) if len(self.took) > 1 else self.took[0]))
        return self.engine.run(inputs, outputs)


@pytest.mark.parametrize(
    ("took", "rows", "learned"),
    [
        ((1.0,), [1, 1, 1, 1, 8, 8, 8], 1),  # short: as often as ever
        ((40.0,), [1, 1], 40),  # the golden sample was its first run, the second is no shorter
        ((90.0, 40.0), [1, 1, 1], 40),  # the first call took longer
        ((90.0, 60.0, 30.0), [1, 1, 1, 1], 30),  # an engine that gets faster as it runs
        ((12.0,), [1, 1, 8], 12),  # eight rows once
    ],
)
def test_what_takes_long_is_run_while_it_gets_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, took: tuple[float, ...], rows: list[int], learned: int
) -> None:
    """A start waits for it: of ResNet-50's four runs after its golden sample one is left."""
    model, sample = refuses_zero(tmp_path / "m.onnx"), np.array([[3]], np.int64)
    session = Session.open(gantline.package(model, name="m", sample=sample, output=tmp_path / "m.pkg"))
    session.engine = engine = Clocked(session.engine, monkeypatch, *took)
    assert replaying.replay(session) and engine.rows == [1]
    warm_up(session)
    assert (engine.rows, session.run_ns) == (rows, learned * 10**6)
    session.close()


def test_a_model_file_that_refuses_zeros_is_served_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = Session.open(Package.bare(refuses_zero(tmp_path / "m.onnx"), "m"))
    warm_up(session)
    assert session.run_ns == 0
    assert "model 'm': not warmed up" in caplog.text
    with pytest.raises(EngineFailed):
        session.run(example(session))
    session.close()


def test_a_script_gets_its_sample_once(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    script = (
        "asked = []\ndef init(): pass\ndef run(d):\n    asked.append(d)\n    return asked if d != 'bad' else 1 / 0\n"
    )
    (tmp_path / "code" / "score.py").write_text(script)
    (tmp_path / "request.bin").write_bytes(b"known")
    golden = Golden("request.bin", "reply.bin", "score")
    manifest = Manifest(name="m", engine="script", script=ScriptInfo("score.py"), golden=(golden,))
    session = Session.open(Package(tmp_path, manifest, None))
    try:
        warm_up(session)
        (told,) = session.run({"data": np.array([b"next"], object)})
        assert told.tolist() == [b'["known", "next"]']
        (tmp_path / "request.bin").write_bytes(b"bad")
        with pytest.raises(ScriptFailed, match="status 500: ZeroDivisionError: division by zero"):
            warm_up(session)
    finally:
        session.close()
