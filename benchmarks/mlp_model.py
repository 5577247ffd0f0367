"""The model of the batching figures: an MLP 1024-2048-2048-1024-10 whose weights do not fit into a cache."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

SIZES = (1024, 2048, 2048, 1024, 10)


def make_model(folder: Path) -> Path:
    """An ONNX file with random weights; where it is."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for i, (wide, high) in enumerate(pairwise(SIZES)):
        values = (random.standard_normal((wide, high)) / np.sqrt(wide)).astype(np.float32)
        weights += [
            numpy_helper.from_array(values, f"w{i}"),
            numpy_helper.from_array(np.zeros(high, np.float32), f"b{i}"),
        ]
        out = "y" if i == len(SIZES) - 2 else f"h{i}"
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"a{i}" if out != "y" else "y"]))
        if out != "y":
            nodes.append(helper.make_node("Relu", [f"a{i}"], [out]))
        last = out
    graph = helper.make_graph(
        nodes, "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", SIZES[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", SIZES[-1]])],
        weights,
    )  # fmt: skip
    path = folder / "mlp.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def binary_request() -> bytes:
    """One row as V2 binary: the whole HTTP request."""
    row = np.random.default_rng(1).standard_normal((1, SIZES[0])).astype(np.float32).tobytes()
    head = (
        b'{"inputs":[{"name":"x","shape":[1,%d],"datatype":"FP32","parameters":{"binary_data_size":%d}}],'
        b'"outputs":[{"name":"y","parameters":{"binary_data":true}}]}' % (SIZES[0], len(row))
    )
    return (
        b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(head), len(head) + len(row))
        + head + row
    )  # fmt: skip
