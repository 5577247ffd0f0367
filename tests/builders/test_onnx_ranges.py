"""Ranges that an ONNX graph carries."""

from __future__ import annotations

import onnx
from gantline.builders.onnx_ranges import draw
from onnx import helper

from gantline.signature import Signature, TensorSpec

shape = helper.make_tensor_value_info
OUT = (TensorSpec("y", "FP32", (-1, 1)),)


def model(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph(nodes, "g", inputs, [shape("y", 1, [None, 1])]))


def trees(name: str) -> onnx.NodeProto:
    return helper.make_node(
        "TreeEnsembleRegressor", [name], ["y"], domain="ai.onnx.ml",
        nodes_featureids=[0, 1, 0, 0, 0], nodes_values=[50.0, -7.0, 60.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF"],
    )  # fmt: skip


def test_thresholds_of_trees_behind_a_cast() -> None:
    cast = helper.make_node("Cast", ["x"], ["wide"], to=11)
    signature = Signature((TensorSpec("x", "FP32", (-1, 3)),), OUT)
    rows = draw(model([cast, trees("wide")], [shape("x", 1, [None, 3])]), signature, 100)
    assert rows is not None and rows["x"].shape == (100, 3)
    assert rows["x"][:, 0].min() > 49 and rows["x"][:, 0].max() < 61
    assert rows["x"][:, 1].min() > -8 and rows["x"][:, 1].max() < -6
    assert rows["x"][:, 2].std() > 0.7


def test_scalers_and_categories() -> None:
    nodes = [
        helper.make_node("Scaler", ["n"], ["s"], domain="ai.onnx.ml", offset=[100.0, -5.0], scale=[0.1, 2.0]),
        helper.make_node("OneHotEncoder", ["c"], ["o"], domain="ai.onnx.ml", cats_strings=["Oslo", "Rome"]),
        helper.make_node("Identity", ["s"], ["y"]),
    ]
    inputs = (TensorSpec("n", "FP32", (-1, 2)), TensorSpec("c", "BYTES", (-1, 1)))
    rows = draw(model(nodes, [shape("n", 1, [None, 2]), shape("c", 8, [None, 1])]), Signature(inputs, OUT), 60)
    assert rows is not None and set(rows["c"].ravel()) == {b"Oslo", b"Rome"}
    assert rows["n"][:, 0].min() > 75 and rows["n"][:, 0].max() < 125
    assert rows["n"][:, 1].min() > -7 and rows["n"][:, 1].max() < -3


def test_where_nothing_is_known() -> None:
    neg = model([helper.make_node("Neg", ["x"], ["y"])], [shape("x", 1, [None, 1])])
    assert draw(neg, Signature((TensorSpec("x", "FP32", (-1, 1)),), OUT), 5) is None
    assert draw(neg, Signature((TensorSpec("x", "FP32", (-1, 3, 8, 8)),), OUT), 5) is None
    assert draw(neg, Signature((TensorSpec("x", "FP32", (4, 1)),), OUT), 5) is None
