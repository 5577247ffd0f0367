"""What onnxruntime and V2 spell differently: text, BF16, sequences, maps, optional inputs and defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from gantline.accelerators.onnx import Onnx, open_model

from gantline.errors import BadRequest, EngineFailed

T = onnx.TensorProto
h = onnx.helper
info = h.make_tensor_value_info


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    """engine(nodes, inputs, outputs, initializers): the opened engine of such a graph."""

    def make(nodes: list[Any], inputs: list[Any], outputs: list[Any], initializers: Any = (), opset: int = 18) -> Onnx:
        graph = h.make_graph(nodes, "g", inputs, outputs, list(initializers))
        opsets = [h.make_opsetid("", opset), h.make_opsetid("ai.onnx.ml", 1)]
        onnx.save(h.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
        return open_model(tmp_path / "m.onnx")

    return make


def _texts(*values: object) -> Any:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def test_text(engine: Any) -> None:
    found = engine([h.make_node("Identity", ["x"], ["y"])], [info("x", T.STRING, ["N"])], [info("y", T.STRING, ["N"])])
    assert found.signature.inputs[0].datatype == "BYTES"
    assert found.run({"x": _texts(b"a", "Tromsø".encode(), b"a\0b", b"")}, ["y"])[0].tolist() == [
        "a", "Tromsø", "a\0b", "",
    ]  # fmt: skip
    assert found.run({"x": np.empty((0,), object)}, ["y"])[0].shape == (0,)
    with pytest.raises(BadRequest, match="input 'x' holds bytes that are not UTF-8"):
        found.run({"x": _texts(b"\xff")}, ["y"])


@pytest.mark.parametrize("shape", [(), (0,), (0, 2), (2, 2)])
def test_bfloat16_both_ways(engine: Any, shape: tuple[int, ...]) -> None:
    dims = [None] * len(shape)
    found = engine(
        [h.make_node("Cast", ["x"], ["f"], to=T.FLOAT), h.make_node("Cast", ["f"], ["y"], to=T.BFLOAT16)],
        [info("x", T.BFLOAT16, dims)], [info("y", T.BFLOAT16, dims), info("f", T.FLOAT, dims)],
    )  # fmt: skip
    x = np.full(shape, -1.5, ml_dtypes.bfloat16)
    f, y = found.run({"x": x}, ["f", "y"])
    assert y.dtype == ml_dtypes.bfloat16 and y.shape == shape and f.dtype == np.float32
    assert y.tobytes() == x.tobytes()


def test_bfloat16_beside_text(engine: Any) -> None:
    nodes = [h.make_node("Cast", ["x"], ["f"], to=T.FLOAT), h.make_node("Identity", ["s"], ["t"])]
    inputs = [info("x", T.BFLOAT16, ["N"]), info("s", T.STRING, ["N"])]
    found = engine(nodes, inputs, [info("f", T.FLOAT, ["N"]), info("t", T.STRING, ["N"])])
    feed = {"x": np.ones(1, ml_dtypes.bfloat16), "s": _texts(b"a")}
    assert [a.tolist() for a in found.run(feed, ["f", "t"])] == [[1.0], ["a"]]
    nodes[0] = h.make_node("Identity", ["x"], ["f"])
    found = engine(nodes, inputs, [info("f", T.BFLOAT16, ["N"]), info("t", T.STRING, ["N"])])
    with pytest.raises(EngineFailed, match="cannot take strings where an output is BF16"):
        found.run(feed, ["f", "t"])


def test_maps_become_a_matrix(engine: Any) -> None:
    kind = h.make_sequence_type_proto(h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(T.FLOAT, [])))
    node = h.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    found = engine([node], [info("x", T.FLOAT, ["N", 3])], [h.make_value_info("y", kind)])
    assert found.signature.outputs[0].shape == (-1, -1)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (y,) = found.run({"x": x}, ["y"])
    assert y.dtype == np.float32 and y.tolist() == x.tolist()


def test_sequences_are_stacked(engine: Any) -> None:
    node = h.make_node("SequenceConstruct", ["x", "z"], ["y"])
    inputs = [info("x", T.FLOAT, ["N"]), info("z", T.FLOAT, ["M"])]
    found = engine([node], inputs, [h.make_tensor_sequence_value_info("y", T.FLOAT, None)])
    one, two = np.array([1, 2], np.float32), np.array([3], np.float32)
    assert found.run({"x": one, "z": one}, ["y"])[0].tolist() == [[1, 2], [1, 2]]
    with pytest.raises(EngineFailed, match="output 'y' is a sequence of tensors of different shapes"):
        found.run({"x": one, "z": two}, ["y"])


def test_optional_inputs_and_defaults(engine: Any) -> None:
    kind = h.make_optional_type_proto(h.make_tensor_type_proto(T.FLOAT, ["N"]))
    nodes = [h.make_node("OptionalHasElement", ["o"], ["given"]), h.make_node("Add", ["x", "b"], ["y"])]
    inputs = [h.make_value_info("o", kind), info("x", T.FLOAT, ["N"]), info("b", T.FLOAT, [1])]
    outputs = [info("given", T.BOOL, []), info("y", T.FLOAT, ["N"])]
    found = engine(nodes, inputs, outputs, [h.make_tensor("b", T.FLOAT, [1], [5.0])])
    assert {t.name: t.optional for t in found.signature.inputs} == {"o": True, "x": False, "b": True}
    x = np.ones(1, np.float32)
    found.signature.check("m", {"x": x})
    assert [a.tolist() for a in found.run({"x": x}, ["given", "y"])] == [False, [6.0]]
    assert [a.tolist() for a in found.run({"x": x, "o": x, "b": x}, ["given", "y"])] == [True, [2.0]]
