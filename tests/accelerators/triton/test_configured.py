"""An engine under a config.pbtxt: names, dims, labels and reshapes, on real ONNX models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.session import Session
from gantline.accelerators.triton.configured import open_session, reshaped
from gantline.accelerators.triton.model_config import ModelConfig
from gantline.accelerators.warming import warm_up

from gantline.errors import BadArtefact
from gantline.packages import Package

if TYPE_CHECKING:
    pass

onnx = pytest.importorskip("onnx")


def _model(path: Path) -> Path:
    """x [N,4] and s [N] -> y = x + 1, t = s * 2."""
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    one = h.make_tensor("one", float32, [], [1.0])
    nodes = [h.make_node("Add", ["x", "one"], ["y"]), h.make_node("Add", ["s", "s"], ["t"])]
    info = h.make_tensor_value_info
    graph = h.make_graph(
        nodes, "g", [info("x", float32, ["N", 4]), info("s", float32, ["N"])],
        [info("y", float32, ["N", 4]), info("t", float32, ["N"])], [one],
    )  # fmt: skip
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path


def _open(tmp_path: Path, text: str) -> Session:
    (tmp_path / "config.pbtxt").write_text(text)
    model = _model(tmp_path / "model.onnx")
    return open_session(Package.bare(model, "m"), EngineOptions(), ModelConfig.read(tmp_path / "config.pbtxt"))


BOTH = 'input { name: "s" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } } input { name: "x" dims: [4] } '


def test_reshape_order_labels_and_subset(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a\nb\nc\nd\n")
    text = "max_batch_size: 8 " + BOTH + 'output { name: "t" dims: [1] reshape { shape: [] } }'
    session = _open(tmp_path, text + 'output { name: "y" dims: [4] label_filename: "l.txt" }')
    assert [(t.name, t.shape) for t in session.signature.inputs] == [("s", (-1, 1)), ("x", (-1, 4))]
    assert session.signature.outputs[1].labels == ("a", "b", "c", "d")
    warm_up(session)
    feed = {"x": np.zeros((2, 4), np.float32), "s": np.array([[1], [2]], np.float32)}
    t, y = session.run(feed)
    assert t.tolist() == [[2], [4]] and y.tolist() == [[1] * 4] * 2
    empty = session.run({"x": np.zeros((0, 4), np.float32), "s": np.zeros((0, 1), np.float32)}, ["t"])
    assert empty[0].shape == (0, 1)
    session.close()
    only = _open(tmp_path, "max_batch_size: 8 " + BOTH + 'output { name: "y" dims: [-1] }')
    assert only.output_names == ("y",) and only.signature.outputs[0].shape == (-1, 4)
    only.close()


def test_a_config_may_say_nothing(tmp_path: Path) -> None:
    session = _open(tmp_path, "max_batch_size: 4")
    assert [t.name for t in session.signature.inputs] == ["x", "s"]
    session.close()


def test_dims_in_full_without_batching(tmp_path: Path) -> None:
    session = _open(tmp_path, 'input { name: "x" dims: [2, 4] } input { name: "s" dims: [2] }')
    assert session.signature.inputs[0].shape == (2, 4)
    session.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('input { name: "z" }', r"input 'z' is not the model's; it has 'x', 's'"),
        ('input { name: "x" }', r"the model's input 's' is missing; it takes 'x', 's'"),
        ('input { name: "x" data_type: TYPE_INT64 } input { name: "s" }', "'x' has datatype INT64, the model has"),
        ('input { name: "x" optional: true } input { name: "s" }', "'x' is optional there, but the model needs it"),
        (
            'max_batch_size: 8 input { name: "x" dims: [-1, 4] } input { name: "s" }',
            r"'x' has shape \[-1, -1, 4\], the model has \[-1, 4\] \(the batch dimension is not part of dims",
        ),
        ('input { name: "x" dims: [-1, 5] } input { name: "s" }', r"'x' has shape \[-1, 5\], the model has \[-1, 4\]"),
        ('output { name: "q" }', r"output 'q' is not the model's; it has 'y', 't'"),
        ('output { name: "y" label_filename: "none.txt" }', r"output 'y': label file"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadArtefact, match=message) as raised:
        _open(tmp_path, text)
    assert "config.pbtxt" in raised.value.message and "\n" not in raised.value.message


def test_batching_needs_a_free_first_dimension(tmp_path: Path) -> None:
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    info = h.make_tensor_value_info
    graph = h.make_graph(
        [h.make_node("Neg", ["x"], ["y"])], "g", [info("x", float32, [1, 4])], [info("y", float32, [1, 4])]
    )
    model = tmp_path / "model.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), model)
    (tmp_path / "config.pbtxt").write_text("max_batch_size: 8")
    config = ModelConfig.read(tmp_path / "config.pbtxt")
    with pytest.raises(BadArtefact, match=r"input 'x' \[1, 4\] has no free first dimension; set max_batch_size: 0"):
        open_session(Package.bare(model, "m"), EngineOptions(), config)


def test_reshaped_carries_free_dimensions() -> None:
    array = np.arange(12).reshape(2, 6)
    assert reshaped(array, (-1, 6), (-1, 2, 3)).shape == (2, 2, 3)
    assert reshaped(array, (-1, -1), (-1, 1, -1)).shape == (2, 1, 6)
