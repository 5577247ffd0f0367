"""Warming: golden rows where there are some, zeros where there are none, and what happens when they are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.accelerators.warming import example, warm_up
from onnx import TensorProto, helper, save_model

import gantline
from gantline.errors import EngineFailed, ScriptFailed
from gantline.manifest import Golden, Manifest, ScriptInfo
from gantline.packages import Package


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
