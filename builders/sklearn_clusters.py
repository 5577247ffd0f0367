"""Birch in ONNX: skl2onnx does not know it, and skops cannot save it.

Its answers hang on the centres of its subclusters alone: the label of the nearest, and the distances to all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .sklearn_encoders import Graph, proto

_INT64, _DOUBLE, _FLOAT = 7, 11, 1  # TensorProto.DataType


def register_clusters() -> None:
    """Tell skl2onnx of it, once."""
    from skl2onnx import update_registered_converter
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from sklearn.cluster import Birch

    if Birch not in sklearn_operator_name_map:
        update_registered_converter(Birch, "GantlineBirch", _shapes, _birch)


def _shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType

    rows = operator.inputs[0].get_first_dimension()
    wide = isinstance(operator.inputs[0].type, DoubleTensorType)
    operator.outputs[0].type = Int64TensorType([rows])
    width = len(operator.raw_operator.subcluster_centers_)
    operator.outputs[1].type = (DoubleTensorType if wide else FloatTensorType)([rows, width])


def _birch(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, Graph(scope, container)
    label, scores = operator.outputs
    kind = _DOUBLE if any(proto(v) == _DOUBLE for v in operator.inputs) else _FLOAT
    rows = graph.node("Unsqueeze", graph.joined(operator, kind), graph.constant([1], _INT64))
    apart = graph.node("Sub", rows, graph.constant(np.asarray(model.subcluster_centers_, np.float64)[None], kind))
    squares = graph.node("ReduceSum", graph.node("Mul", apart, apart), graph.constant([2], _INT64), keepdims=0)
    nearest = graph.node("ArgMin", squares, axis=1, keepdims=0)
    graph.node("Gather", graph.constant(model.subcluster_labels_, _INT64), nearest, made=label.full_name, axis=0)
    graph.node("Sqrt", squares, made=scores.full_name)
