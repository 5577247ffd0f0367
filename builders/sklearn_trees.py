"""Trees of scikit-learn in ONNX, to the last float32: what skl2onnx 1.20 leaves out or gets wrong.

- scikit-learn rounds features to float32 before its trees (not before histogram boosting). So a float64 graph is
  rounded at their door, too: ONNX's tree operators answer float32 whatever they are given, and thresholds that
  skl2onnx searches in float64 send it round in circles where one is infinite.
- Missing values go where each split sends them; skl2onnx sends all of them to the right.
- Several outputs are one ensemble with a target for each class, not one ensemble a tree.
- An isolation forest is one ensemble that adds up path lengths, not thirty operators a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gantline.tensors import Array

from .sklearn_members import members

_FLOAT, _DOUBLE, _INT64, _STRING = 1, 11, 7, 8  # TensorProto.DataType
_KINDS = (
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ExtraTreeClassifier",
    "ExtraTreeRegressor",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
)


def tree_converters() -> dict[type, Any]:
    """For skl2onnx's `custom_conversion_functions`."""
    from sklearn import ensemble, tree

    found = {k: getattr(tree, k, None) or getattr(ensemble, k) for k in _KINDS}
    boosted = {getattr(ensemble, k): _around_trees(f"Sklearn{k}") for k in ("AdaBoostClassifier", "AdaBoostRegressor")}
    return {**{c: _converter(f"Sklearn{k}") for k, c in found.items()}, **boosted, ensemble.IsolationForest: _isolation}


def rounded_down(exact: Array) -> Array:
    """The largest float32 numbers that are not above: for a float32 x, x <= t is x <= rounded_down(t)."""
    near = exact.astype(np.float32)
    return np.where(near.astype(np.float64) > exact, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def _converter(kind: str) -> Any:
    from skl2onnx.common._registration import get_converter
    from skl2onnx.common.data_types import DoubleTensorType

    converter = get_converter(kind)

    def convert(scope: Any, operator: Any, container: Any) -> None:
        model = operator.raw_operator
        if isinstance(operator.inputs[0].type, DoubleTensorType):
            in_single(scope, operator, container)
        elif isinstance(getattr(model, "classes_", None), list):
            _several_labels(scope, operator, container)
        else:
            converter(scope, operator, _Container(container, model))

    return convert


def _around_trees(kind: str) -> Any:
    """For what gives its rows to its members alone: float32 before it, if they are trees."""
    from skl2onnx.common._registration import get_converter
    from skl2onnx.common.data_types import DoubleTensorType

    converter = get_converter(kind)

    def convert(scope: Any, operator: Any, container: Any) -> None:
        trees = all(hasattr(one, "tree_") for one in members(operator.raw_operator.estimators_))
        if trees and isinstance(operator.inputs[0].type, DoubleTensorType):
            in_single(scope, operator, container)
        else:
            converter(scope, operator, container)

    return convert


def in_single(scope: Any, operator: Any, container: Any) -> None:
    """The same operator in float32, inside a graph in float64."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    inner = scope.declare_local_operator(operator.type, operator.raw_operator)
    for given in operator.inputs:
        single = scope.declare_local_variable("single", FloatTensorType(given.type.shape))
        _node(scope, container, "Cast", given.full_name, single.full_name, to=_FLOAT)
        inner.inputs.append(single)
    for wanted in operator.outputs:
        wide = isinstance(wanted.type, DoubleTensorType)
        found = scope.declare_local_variable("single", FloatTensorType() if wide else type(wanted.type)())
        inner.outputs.append(found)
        change = {"to": _DOUBLE} if wide else {}
        _node(scope, container, "Cast" if wide else "Identity", found.full_name, wanted.full_name, **change)


def _trees(model: Any) -> list[Any]:
    if hasattr(model, "tree_"):
        return [model.tree_]
    return [one.tree_ for one in members(model.estimators_)]


class _Container:
    """skl2onnx's container of nodes, with `add_node` putting thresholds and missing values right."""

    def __init__(self, container: Any, model: Any) -> None:
        self._container = container
        self._trees = _trees(model)
        self._scores = getattr(model, "n_trees_per_iteration_", 1)  # of gradient boosting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, *args: Any, **attributes: Any) -> Any:
        if "nodes_values" in attributes:
            at = list(zip(attributes["nodes_treeids"], attributes["nodes_nodeids"], strict=True))
            thresholds = np.array([self._trees[t].threshold[n] for t, n in at])
            inner = np.array([self._trees[t].children_left[n] >= 0 for t, n in at])
            attributes["nodes_values"] = np.where(inner, rounded_down(thresholds), np.float32(0))
            left = [_missing_left(self._trees[t])[n] for t, n in at]
            attributes["nodes_missing_value_tracks_true"] = [int(i and m) for i, m in zip(inner, left, strict=True)]
        if self._scores > 1 and len(attributes.get("base_values", ())) == 1:
            attributes["base_values"] = np.repeat(attributes["base_values"], self._scores)  # with init="zero"
        return self._container.add_node(op_type, *args, **attributes)


def _missing_left(tree: Any) -> Array:
    found = getattr(tree, "missing_go_to_left", None)  # since 1.3
    return np.zeros(tree.node_count, np.uint8) if found is None else np.asarray(found)


def _ensemble(
    scope: Any, container: Any, given: str, trees: Sequence[Any], weights: Sequence[Array], columns: Sequence[Array]
) -> str:
    """One TreeEnsembleRegressor: the sum of what the reached leaves weigh. `weights`: [nodes, targets] for each tree;
    `columns`: the input's column for each feature of each tree."""
    nodes: dict[str, list[Any]] = {k: [] for k in _NODES}
    leaves: dict[str, list[Any]] = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
    for t, (tree, weight, column) in enumerate(zip(trees, weights, columns, strict=True)):
        inner = tree.children_left >= 0
        count = int(tree.node_count)
        nodes["treeids"] += [t] * count
        nodes["nodeids"] += range(count)
        nodes["featureids"] += np.where(inner, column[np.maximum(tree.feature, 0)], 0).tolist()
        nodes["modes"] += ["BRANCH_LEQ" if i else "LEAF" for i in inner]
        nodes["values"] += np.where(inner, rounded_down(tree.threshold), np.float32(0)).tolist()
        nodes["truenodeids"] += np.where(inner, tree.children_left, 0).tolist()
        nodes["falsenodeids"] += np.where(inner, tree.children_right, 0).tolist()
        nodes["missing_value_tracks_true"] += (inner & (_missing_left(tree) > 0)).astype(int).tolist()
        for leaf in np.flatnonzero(~inner).tolist():
            for target, w in enumerate(weight[leaf].tolist()):
                for key, value in zip(leaves, (t, leaf, target, w), strict=True):
                    leaves[key].append(value)
    found: str = scope.get_unique_variable_name("leaves")
    container.add_node(
        "TreeEnsembleRegressor",
        given,
        found,
        op_domain="ai.onnx.ml",
        op_version=1,
        name=scope.get_unique_operator_name("TreeEnsembleRegressor"),
        n_targets=int(weights[0].shape[1]),
        **{f"nodes_{k}": v for k, v in nodes.items()},
        **{f"target_{k}": v for k, v in leaves.items()},
    )
    return found


_NODES = (
    "treeids",
    "nodeids",
    "featureids",
    "modes",
    "values",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def _input(scope: Any, operator: Any, container: Any) -> str:
    """The operator's input in float32."""
    from skl2onnx.common.data_types import FloatTensorType

    given = operator.inputs[0]
    name: str = given.full_name
    if isinstance(given.type, FloatTensorType):
        return name
    single: str = scope.get_unique_variable_name("single")
    _node(scope, container, "Cast", name, single, to=_FLOAT)
    return single


def _several_labels(scope: Any, operator: Any, container: Any) -> None:
    """A classifier of several outputs: for each of them the class with the largest mean share in the leaves."""
    model = operator.raw_operator
    trees = _trees(model)
    counts = [len(c) for c in model.classes_]
    weights = []
    for tree in trees:
        shares = [tree.value[:, o, :count] for o, count in enumerate(counts)]
        weights.append(np.concatenate([s / s.sum(axis=1, keepdims=True) for s in shares], axis=1))
    every = np.arange(model.n_features_in_)
    found = _ensemble(scope, container, _input(scope, operator, container), trees, weights, [every] * len(trees))
    labels = []
    for o, (classes, count) in enumerate(zip(model.classes_, counts, strict=True)):
        first = sum(counts[:o])
        kind = _STRING if classes.dtype.kind in "OUST" else _INT64
        values = [str(c).encode() for c in classes] if kind == _STRING else [int(c) for c in classes]
        names = {k: scope.get_unique_variable_name(f"{k}{o}") for k in ("at", "some", "best", "classes", "label")}
        container.add_initializer(names["at"], _INT64, [count], list(range(first, first + count)))
        container.add_initializer(names["classes"], kind, [count], values)
        _node(scope, container, "Gather", [found, names["at"]], names["some"], axis=1)
        _node(scope, container, "ArgMax", names["some"], names["best"], axis=1, keepdims=1)
        _node(scope, container, "Gather", [names["classes"], names["best"]], names["label"], axis=0)
        labels.append(names["label"])
    _node(scope, container, "Concat", labels, operator.outputs[0].full_name, axis=1)
    _node(scope, container, "Identity", found, operator.outputs[1].full_name)


def _isolation(scope: Any, operator: Any, container: Any) -> None:
    """score = offset-corrected -2 ** -(sum of depths / expected sum); below zero is an outlier."""
    from sklearn.ensemble._iforest import _average_path_length

    model = operator.raw_operator
    trees = _trees(model)
    whole = len(trees) * float(_average_path_length([model.max_samples_])[0])
    depths = [((_depths(t) + _average_path_length(t.n_node_samples)) / (whole or 1.0)).reshape(-1, 1) for t in trees]
    given, columns = _input(scope, operator, container), [np.asarray(c) for c in model.estimators_features_]
    found = _ensemble(scope, container, given, trees, depths, columns)
    names = {k: scope.get_unique_variable_name(k) for k in ("minus", "two", "power", "offset", "sum", "score", "zero")}
    labels = {k: scope.get_unique_variable_name(k) for k in ("outlier", "out", "in", "label", "flat")}
    for name, value in (("two", 2.0), ("offset", -float(model.offset_)), ("zero", 0.0)):
        container.add_initializer(names[name], _FLOAT, [1], [value])
    container.add_initializer(labels["out"], _INT64, [1], [-1])
    container.add_initializer(labels["in"], _INT64, [1], [1])
    container.add_initializer(labels["flat"], _INT64, [1], [-1])
    _node(scope, container, "Neg", found, names["minus"])
    _node(scope, container, "Pow", [names["two"], names["minus"]], names["power"])
    _node(scope, container, "Sub", [names["offset"], names["power"]], names["score"])
    _node(scope, container, "Less", [names["score"], names["zero"]], labels["outlier"])
    _node(scope, container, "Where", [labels["outlier"], labels["out"], labels["in"]], labels["label"])
    _node(scope, container, "Reshape", [labels["label"], labels["flat"]], operator.outputs[0].full_name)
    _node(scope, container, "Cast", names["score"], operator.outputs[1].full_name, to=_proto(operator.outputs[1]))


def _depths(tree: Any) -> Array:
    out = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # children come after their parents
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                out[child] = out[node] + 1
    return out


def _proto(variable: Any) -> int:
    from skl2onnx.common.data_types import DoubleTensorType

    return _DOUBLE if isinstance(variable.type, DoubleTensorType) else _FLOAT


def _node(scope: Any, container: Any, kind: str, given: Any, made: str, **attributes: Any) -> None:
    container.add_node(kind, given, made, name=scope.get_unique_operator_name(kind), **attributes)
