"""What is done to tf2onnx's file: order and shapes are the signature's."""

from __future__ import annotations

from gantline.builders.tf_onnx import _as_signed, _in_onnx
from onnx import TensorProto, helper

from gantline.signature import Signature, TensorSpec


def test_order_and_shapes_are_the_signatures() -> None:
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("a", "p"), ("b", "q"))]
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, ["unk__1", None]) for n in "abpq"}
    model = helper.make_model(helper.make_graph(nodes, "g", [values["a"], values["b"]], [values["p"], values["q"]]))
    specs = {n: TensorSpec(n, "FP32", (-1, 3)) for n in "abpq"}
    _as_signed(model, Signature((specs["b"], specs["a"]), (specs["q"], specs["p"])))
    assert [v.name for v in (*model.graph.input, *model.graph.output)] == ["b", "a", "q", "p"]
    for value in (*model.graph.input, *model.graph.output):
        assert [d.dim_value for d in value.type.tensor_type.shape.dim] == [0, 3]
        assert not value.type.tensor_type.shape.dim[0].HasField("dim_param")


def test_operations_that_onnx_has() -> None:
    assert _in_onnx(helper.make_node("MatMul", [], []))
    assert _in_onnx(helper.make_node("LabelEncoder", [], [], domain="ai.onnx.ml"))
    assert not _in_onnx(helper.make_node("StaticRegexReplace", [], []))
