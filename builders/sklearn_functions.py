"""Functions of numpy in ONNX: what a FunctionTransformer does, or undoes for a regressor with a transformed target."""

from __future__ import annotations

import copy
from typing import Any

from gantline.errors import Unsupported

from .sklearn_encoders import Graph, proto

_FLOAT, _DOUBLE = 1, 11  # TensorProto.DataType
# name of the numpy function -> operators one after another; a number is a constant to add or to raise to
_OPERATORS: dict[str, tuple[tuple[str, float | None], ...]] = {
    "abs": (("Abs", None),),
    "absolute": (("Abs", None),),
    "ceil": (("Ceil", None),),
    "cos": (("Cos", None),),
    "exp": (("Exp", None),),
    "expm1": (("Exp", None), ("Add", -1.0)),
    "floor": (("Floor", None),),
    "log": (("Log", None),),
    "log1p": (("Add", 1.0), ("Log", None)),
    "negative": (("Neg", None),),
    "reciprocal": (("Reciprocal", None),),
    "rint": (("Round", None),),
    "sign": (("Sign", None),),
    "sin": (("Sin", None),),
    "sqrt": (("Sqrt", None),),
    "square": (("Pow", 2.0),),
    "tanh": (("Tanh", None),),
}


def function_converters() -> dict[type, Any]:
    """For skl2onnx's `custom_conversion_functions`."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import FunctionTransformer

    return {FunctionTransformer: _function, TfidfTransformer: _weights}


def function_shapes() -> dict[type, Any]:
    """For skl2onnx's `custom_shape_calculators`."""
    from sklearn.preprocessing import FunctionTransformer

    return {FunctionTransformer: _shape}


def _function(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, Graph(scope, container)
    steps = _steps(model)
    out = operator.outputs[0]
    name = graph.joined(operator, proto(out))
    for kind, number in steps:
        more = () if number is None else (graph.constant(number, proto(out)),)
        name = graph.node(kind, name, *more)
    graph.node("Identity", name, made=out.full_name)


def _steps(model: Any) -> tuple[tuple[str, float | None], ...]:
    """The operators for a transformer's function. Unsupported for code, which no ONNX can hold."""
    import numpy as np

    if model.func is None:
        return ()
    name = getattr(model.func, "__name__", type(model.func).__name__)
    if isinstance(model.func, np.ufunc) and name in _OPERATORS and not model.kw_args:
        return _OPERATORS[name]
    raise Unsupported(f"FunctionTransformer calls {name}(): code, which ONNX does not hold")


def _weights(scope: Any, operator: Any, container: Any) -> None:
    """tf-idf with 1 + log(count) for counts; skl2onnx takes log(1 + count) for it."""
    from skl2onnx.common._registration import get_converter

    model, graph = operator.raw_operator, Graph(scope, container)
    if not model.sublinear_tf:
        get_converter("SklearnTfidfTransformer")(scope, operator, container)
        return
    given, kind = operator.inputs[0], proto(operator.inputs[0])
    logs = graph.node("Add", graph.node("Log", given.full_name), graph.constant(1.0, kind))
    none = graph.constant(0.0, kind)
    counts = scope.declare_local_variable("counts", type(given.type)(given.type.shape))
    graph.node("Where", graph.node("Greater", given.full_name, none), logs, none, made=counts.full_name)
    plain = copy.copy(model)
    plain.sublinear_tf = False
    inner = scope.declare_local_operator(operator.type, plain)
    inner.inputs.append(counts)
    weights = scope.declare_local_variable("weights", type(operator.outputs[0].type)())
    inner.outputs.append(weights)
    graph.node("Identity", weights.full_name, made=operator.outputs[0].full_name)


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    steps = _steps(operator.raw_operator)
    first = operator.inputs[0]
    widths = [v.type.shape[1] for v in operator.inputs]
    kind = type(first.type)
    if steps or len(operator.inputs) > 1:
        wide = any(proto(v) == _DOUBLE for v in operator.inputs)
        kind = DoubleTensorType if wide else FloatTensorType
    whole = None if None in widths else sum(widths)
    operator.outputs[0].type = kind([first.get_first_dimension(), whole])
