"""A model whose sequences add up what they are sent, for all tests of state that stays in the server."""

from __future__ import annotations

from pathlib import Path

import pytest


def write_sequence_model(path: Path, batched: bool = True) -> Path:
    """y = x + sum so far; who = id; begun = start. Not `batched`: of one row, without a first dimension for more."""
    onnx = pytest.importorskip("onnx")
    h, tp = onnx.helper, onnx.TensorProto
    shape = ["N", 1] if batched else [1]
    floats = [h.make_tensor_value_info(n, tp.FLOAT, shape) for n in ("x", "start", "sum_in")]
    graph = h.make_graph(
        [
            h.make_node("Add", ["x", "sum_in"], ["y"]),
            h.make_node("Identity", ["y"], ["sum_out"]),
            h.make_node("Identity", ["id"], ["who"]),
            h.make_node("Identity", ["start"], ["begun"]),
        ],
        "g",
        [*floats, h.make_tensor_value_info("id", tp.INT64, shape)],
        [
            *(h.make_tensor_value_info(n, tp.FLOAT, shape) for n in ("y", "sum_out", "begun")),
            h.make_tensor_value_info("who", tp.INT64, shape),
        ],
    )
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path
