"""Piecewise linear functions in ONNX: quantile transformers and calibrated classifiers, whose converters in skl2onnx
1.20 make an operator for each quantile (80 s for 150 rows), or take the nearest point's value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gantline.errors import Unsupported
from gantline.tensors import Array

from .sklearn_encoders import Graph, proto
from .sklearn_prepared import known_options, prepared

_FLOAT, _INT64, _STRING, _DOUBLE = 1, 7, 8, 11  # TensorProto.DataType


def curve_converters() -> dict[type, Any]:
    """For skl2onnx's `custom_conversion_functions`."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.preprocessing import QuantileTransformer

    return {QuantileTransformer: _quantiles, CalibratedClassifierCV: _calibrated}


def _curve(graph: Graph, given: str, kind: int, x: Array, y: Array, ends: Array) -> str:
    """Points (x, y), x ascending, as a function of [N, 1]; constant beyond them.

    Where several points share an x the function jumps there, and is half way up at x itself; at an end that is in
    `ends` (first, last) it is y's end.
    """
    width, rise = np.diff(x), np.diff(y)
    slopes, jumps = width > 0, (width == 0) & (rise != 0)
    total = graph.constant([[y[0]]], kind)
    if slopes.any():
        past = graph.node("Sub", given, graph.constant(x[None, :-1][:, slopes], kind))
        above = graph.node("Max", past, graph.constant(0.0, kind))
        inside = graph.node("Min", above, graph.constant(width[None, slopes], kind))
        steep = graph.constant((rise[slopes] / width[slopes])[:, None], kind)
        total = graph.node("Add", total, graph.node("MatMul", inside, steep))
    at = x[:-1][jumps]
    if not len(at):
        return graph.node("Where", graph.node("IsNaN", given), given, total)
    place = graph.constant(at[None], kind)
    over, reached = graph.node("Greater", given, place), graph.node("GreaterOrEqual", given, place)
    upper = np.where(at == x[0], 1 - 0.5 * (not ends[0]), 0.5)
    upper = np.where(at == x[-1], 0.5 * (not ends[1]), upper)
    for step, share in ((over, upper), (reached, 1 - upper)):
        size = graph.constant((rise[jumps] * share)[:, None], kind)
        total = graph.node("Add", total, graph.node("MatMul", graph.node("Cast", step, to=kind), size))
    return graph.node("Where", graph.node("IsNaN", given), given, total)


def _quantiles(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, Graph(scope, container)
    if model.output_distribution != "uniform":
        raise Unsupported("ONNX has no inverse of the normal distribution, which output_distribution='normal' asks for")
    kind = _DOUBLE if any(proto(v) == _DOUBLE for v in operator.inputs) else _FLOAT
    given, out = graph.joined(operator, kind), operator.outputs[0]
    columns = []
    for at in range(model.quantiles_.shape[1]):
        column = graph.node("Gather", given, graph.constant([at], _INT64), axis=1)
        points = np.asarray(model.quantiles_[:, at], np.float64)
        columns.append(_curve(graph, column, kind, points, np.asarray(model.references_), np.array([True, True])))
    joined = columns[0] if len(columns) == 1 else graph.node("Concat", *columns, axis=1)
    graph.node("Cast", joined, made=out.full_name, to=proto(out))


def _calibrated(scope: Any, operator: Any, container: Any) -> None:
    """The mean of the calibrated members' probabilities, and the class that has most of it."""
    from skl2onnx.common.data_types import DoubleTensorType

    model, graph = operator.raw_operator, Graph(scope, container)
    label, out = operator.outputs
    kind = _DOUBLE if any(isinstance(v.type, DoubleTensorType) for v in operator.inputs) else _FLOAT
    found = []
    for member in model.calibrated_classifiers_:
        scores, decided = _scores(scope, container, prepared(member.estimator), operator.inputs, kind)
        if member.method == "temperature":
            found.append(_cooled(graph, member.calibrators[0], scores, decided, kind))
        else:
            found.append(_one_by_one(graph, member, scores, kind))
    total = found[0] if len(found) == 1 else graph.node("Sum", *found)
    mean = graph.node("Div", total, graph.constant(float(len(found)), kind))
    best = graph.node("ArgMax", mean, axis=1, keepdims=0)
    text = model.classes_.dtype.kind in "OUST"
    values = [str(c) for c in model.classes_] if text else [int(c) for c in model.classes_]
    classes = graph.constant(values, _STRING if text else _INT64)
    graph.node("Gather", classes, best, made=label.full_name, axis=0)
    graph.node("Cast", mean, made=out.full_name, to=proto(out))


def _scores(scope: Any, container: Any, model: Any, inputs: list[Any], kind: int) -> tuple[str, bool]:
    """[N, classes] of what is calibrated, and whether it is the decision function, which goes before probabilities."""
    from skl2onnx._parse import _get_sklearn_operator_name, _parse_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    while hasattr(model, "steps"):
        for _, step in model.steps[:-1]:
            if not isinstance(step, str) and step is not None:
                inputs = _parse_sklearn(scope, step, inputs, custom_parsers=None)
        model = model.steps[-1][1]
    decided = hasattr(model, "decision_function")
    if decided:
        if "raw_scores" not in (known_options(model) or {}):
            raise Unsupported(f"skl2onnx gives no decision function of {type(model).__name__}")
        for options in (scope, container):
            options.add_options(id(model), {"raw_scores": True})
    inner = scope.declare_local_operator(_get_sklearn_operator_name(type(model)), model)
    inner.inputs = list(inputs)
    text = model.classes_.dtype.kind in "OUST"
    inner.outputs.append(scope.declare_local_variable("label", (StringTensorType if text else Int64TensorType)()))
    made = scope.declare_local_variable("scores", (DoubleTensorType if kind == _DOUBLE else FloatTensorType)())
    inner.outputs.append(made)
    return str(made.full_name), decided


def _one_by_one(graph: Graph, member: Any, scores: str, kind: int) -> str:
    """A calibrator for each class, made to sum to one; for two classes there is one, of the second."""
    two = len(member.classes) == 2
    found = []
    for at, calibrator in enumerate(member.calibrators):
        column = graph.node("Gather", scores, graph.constant([at + two], _INT64), axis=1)
        if member.method == "sigmoid":
            slope, offset = graph.constant(-float(calibrator.a_), kind), graph.constant(-float(calibrator.b_), kind)
            found.append(graph.node("Sigmoid", graph.node("Add", graph.node("Mul", column, slope), offset)))
        else:
            x, y = np.asarray(calibrator.X_thresholds_, np.float64), np.asarray(calibrator.y_thresholds_, np.float64)
            found.append(_curve(graph, column, kind, x, y, np.array([False, False])))
    if two:
        return graph.node("Concat", graph.node("Sub", graph.constant(1.0, kind), found[0]), found[0], axis=1)
    joined = graph.node("Concat", *found, axis=1)
    total = graph.node("ReduceSum", joined, graph.constant([1], _INT64), keepdims=1)
    none = graph.node("Equal", total, graph.constant(0.0, kind))
    shares = graph.node("Div", joined, graph.node("Where", none, graph.constant(1.0, kind), total))
    return graph.node("Where", none, graph.constant(1.0 / len(found), kind), shares)


def _cooled(graph: Graph, calibrator: Any, scores: str, decided: bool, kind: int) -> str:
    """softmax(beta * logits); probabilities become logits first."""
    if not decided:
        tiny = graph.constant(float(np.finfo(np.float64).eps), kind)
        scores = graph.node("Log", graph.node("Add", scores, tiny))
    return graph.node("Softmax", graph.node("Mul", scores, graph.constant(float(calibrator.beta_), kind)), axis=1)
