"""Boosters for skl2onnx: its registered way to be told of classes that it does not know, wherever they stand.

So a booster that is a pipeline's last step, or one of several in a vote, takes the same way as one alone.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from gantline.errors import Unsupported

from .boosters import FRAMEWORKS, face_in, forest_of
from .categories import Known
from .face import Face
from .forest import Forest
from .forest_onnx import FLOAT, INT64, Graph, answers
from .sklearn_encoders import Graph as Columns
from .sklearn_encoders import place_of, unknown_in

STRING = 8  # TensorProto.DataType
_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
_CLASSES = {
    "xgboost": ("XGBClassifier", "XGBRFClassifier", "XGBRegressor", "XGBRFRegressor", "XGBRanker"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor", "LGBMRanker"),
    "catboost": ("CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"),
}


def register() -> None:
    """Tell skl2onnx of the frameworks that have been imported, once; of a framework that was not, no model is here."""
    for framework in FRAMEWORKS:
        module = sys.modules.get(framework)
        for name in _CLASSES[framework] if module is not None else ():
            kind = getattr(module, name, None)
            if kind is not None:
                _register(kind, f"Gantline{name}", name.endswith("Classifier"))


def register_faces() -> None:
    """The same of the two classes that stand for a booster alone."""
    from .booster_face import BoosterClassifier, BoosterRegressor

    _register(BoosterClassifier, "GantlineBoosterClassifier", True)
    _register(BoosterRegressor, "GantlineBoosterRegressor", False)


def _register(kind: type, alias: str, classifies: bool) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx._supported_operators import sklearn_operator_name_map

    if kind in sklearn_operator_name_map:
        return
    shapes, convert = (_classifier_shapes, _classifier) if classifies else (_regressor_shapes, _regressor)
    if classifies:
        update_registered_converter(kind, alias, shapes, convert, parser=_parsed, options=_OPTIONS)
    else:
        update_registered_converter(kind, alias, shapes, convert)


def _parsed(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> Any:
    """The operator with two outputs. (CatBoost's classifiers are no ClassifierMixin: skl2onnx would give it one.)"""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    operator = scope.declare_local_operator(sklearn_operator_name_map[type(model)], model)
    operator.inputs = inputs
    for name, kind in (("label", Int64TensorType()), ("probabilities", FloatTensorType())):
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _regressor_shapes(operator: Any) -> None:
    forest = forest_of(operator.raw_operator)
    columns = 1 if forest.link == "largest" else forest.outputs
    operator.outputs[0].type = _floats(operator)([None, columns])


def _classifier_shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    forest = forest_of(operator.raw_operator)
    labels = [None, forest.outputs] if forest.labels == "each" else [None]
    text = np.asarray(operator.raw_operator.classes_).dtype.kind in "OUST"
    operator.outputs[0].type = (StringTensorType if text else Int64TensorType)(labels)
    operator.outputs[1].type = _floats(operator)([None, max(forest.outputs, 1 if len(labels) > 1 else 2)])


def _floats(operator: Any) -> Any:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    return DoubleTensorType if _wide(operator) else FloatTensorType


def _wide(operator: Any) -> bool:
    from skl2onnx.common.data_types import DoubleTensorType

    return any(isinstance(i.type, DoubleTensorType) for i in operator.inputs)


def _begun(scope: Any, operator: Any, container: Any) -> tuple[Graph, str, Forest]:
    from skl2onnx.operator_converters.common import concatenate_variables

    graph, forest = Graph(scope, container, _wide(operator)), forest_of(operator.raw_operator)
    face = face_in(operator.raw_operator)
    if face is not None and face.categories:
        return graph, _coded(Columns(scope, container), graph, operator, face), forest
    given = operator.inputs[0].full_name
    if len(operator.inputs) > 1:
        given = concatenate_variables(scope, operator.inputs, container)
    return graph, given, forest


def _coded(columns: Columns, graph: Graph, operator: Any, face: Face) -> str:
    """All columns as one matrix, with codes in place of categories."""
    out = []
    for at, (name, kind) in enumerate(columns.columns(operator)):
        known = face.categories.get(at)
        column = name if known is None else _codes(columns, name, kind, known, face.names[at] if face.refuses else "")
        out.append(columns.node("Cast", column, to=graph.kind))
    return columns.node("Concat", *out, axis=1)


def _codes(columns: Columns, name: str, kind: int, known: Known, refusing: str) -> str:
    """The code of each category, NaN for a missing value and for one that is not known, where no column refuses it."""
    gap = "" if kind == STRING else np.nan
    values = np.array(list(known) if gap in known else [*known, gap], object if kind == STRING else np.float64)
    codes = [*map(float, range(len(known))), np.nan]
    if not refusing:
        place = place_of(columns, name, kind, values, np.arange(len(values)), len(known))
        return columns.node("Gather", columns.constant(codes, FLOAT), place, axis=0)
    place = place_of(columns, name, kind, values, np.arange(len(values)), len(codes))
    return columns.chosen(codes, FLOAT, place, unknown_in(refusing))


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    graph, given, forest = _begun(scope, operator, container)
    answers(graph, given, forest, operator.outputs[0].full_name)


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    graph, given, forest = _begun(scope, operator, container)
    label, probabilities = (o.full_name for o in operator.outputs)
    margin, found = answers(graph, given, forest)
    if forest.labels == "each":
        graph.node("Identity", [found], probabilities)
        graph.node("Cast", [graph.node("Greater", [found, graph.number(0.5)])], label, to=INT64)
        return
    if forest.outputs == 1:
        found = graph.node("Concat", [graph.node("Sub", [graph.number(1.0), found]), found], axis=1)
    graph.node("Identity", [found], probabilities)
    if forest.labels == "margin":
        index = graph.node("Cast", [graph.node("Greater", [margin, graph.number(0.0)])], to=INT64)
        index = graph.node("Reshape", [index, graph.constant(np.array([-1]), INT64)])
    else:
        index = graph.node("ArgMax", [found], axis=1, keepdims=0)
    graph.node("Gather", [_labels(graph, operator.raw_operator), index], label)


def _labels(graph: Graph, model: Any) -> str:
    classes = np.asarray(model.classes_)
    if classes.dtype.kind in "OUST":
        return graph.constant(np.array([str(c).encode() for c in classes], object), STRING)
    whole = classes.astype(np.int64)
    if not np.array_equal(whole, classes):
        raise Unsupported(f"labels {classes[:3].tolist()} are neither whole numbers nor text")
    return graph.constant(whole, INT64)
