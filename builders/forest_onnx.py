"""Forests as ONNX: skl2onnx's own hook for converters of classes that it does not know.

A forest is one TreeEnsembleRegressor (ai.onnx.ml 3), whose comparison, direction of NaN and sums onnxruntime computes
as the boosters do, where thresholds are rounded to the side on which no float32 lies between them and their originals.
Sets of categories are chains of equalities with a common child, which onnxruntime joins into one test of membership.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gantline.tensors import Array

from .forest import LEAF, ZERO, Forest, Tree

FLOAT, DOUBLE, INT64 = 1, 11, 7  # TensorProto.DataType
Link = Callable[["Graph", str, Forest], str]


class Graph:
    """Nodes added one after another to skl2onnx's container, in float or in double."""

    def __init__(self, scope: Any, container: Any, wide: bool) -> None:
        self._scope = scope
        self._container = container
        self.kind = DOUBLE if wide else FLOAT

    def node(
        self, op: str, inputs: list[str], target: str = "", domain: str = "", version: int = 13, **facts: Any
    ) -> str:
        """Add one operator with one output; its name."""
        out = target or self._scope.get_unique_variable_name(f"booster_{op.lower()}")
        name = self._scope.get_unique_operator_name(op)
        self._container.add_node(op, inputs, out, op_domain=domain, op_version=version, name=name, **facts)
        return out

    def constant(self, values: Array, kind: int = 0) -> str:
        """A tensor of the graph's float type, or of another."""
        name: str = self._scope.get_unique_variable_name("booster_constant")
        found = values.ravel().tolist()
        self._container.add_initializer(name, kind or self.kind, list(values.shape), found)
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array([value]))


def _identity(graph: Graph, margin: str, forest: Forest) -> str:
    return margin


def _sigmoid(graph: Graph, margin: str, forest: Forest) -> str:
    if forest.steepness != 1.0:
        margin = graph.node("Mul", [margin, graph.number(forest.steepness)])
    return graph.node("Sigmoid", [margin])


def _softmax(graph: Graph, margin: str, forest: Forest) -> str:
    return graph.node("Softmax", [margin], axis=1)


def _exp(graph: Graph, margin: str, forest: Forest) -> str:
    return graph.node("Exp", [margin])


def _log1p_exp(graph: Graph, margin: str, forest: Forest) -> str:
    return graph.node("Softplus", [margin], version=1)


def _signed_square(graph: Graph, margin: str, forest: Forest) -> str:
    return graph.node("Mul", [margin, graph.node("Abs", [margin])])


def _above_zero(graph: Graph, margin: str, forest: Forest) -> str:
    return graph.node("Cast", [graph.node("Greater", [margin, graph.number(0.0)])], to=graph.kind)


def _largest(graph: Graph, margin: str, forest: Forest) -> str:
    return graph.node("Cast", [graph.node("ArgMax", [margin], axis=1, keepdims=1)], to=graph.kind)


# from the margin to what the booster answers
LINKS: dict[str, Link] = {
    "identity": _identity,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "exp": _exp,
    "log1p_exp": _log1p_exp,
    "signed_square": _signed_square,
    "above_zero": _above_zero,
    "largest": _largest,
}


def answers(graph: Graph, given: str, forest: Forest, target: str = "") -> tuple[str, str]:
    """Add a forest that reads `given` [-1, width]: the names of its margin and of its answer [-1, outputs]."""
    seen = _prepared(graph, given, forest)
    margin = graph.node(
        "TreeEnsembleRegressor", [seen], domain="ai.onnx.ml", version=3, **attributes(forest, graph.kind)
    )
    if graph.kind == DOUBLE:
        margin = graph.node("Cast", [margin], to=DOUBLE)  # it answers in float32 whatever it was given
    found = LINKS[forest.link](graph, margin, forest)
    return margin, graph.node("Identity", [found], target) if target else found


def _prepared(graph: Graph, given: str, forest: Forest) -> str:
    """Features as the booster sees them: NaN where a number means missing, whole codes of categories."""
    if forest.narrow:
        given = graph.node("Cast", [given], to=FLOAT)
    given = graph.node("Cast", [given], to=graph.kind)
    if forest.sentinel is not None:
        same = graph.node("Equal", [given, graph.number(forest.sentinel)])
        given = graph.node("Where", [same, graph.number(np.nan), given], version=9)
    if forest.zero_is_missing:
        near = graph.node("LessOrEqual", [graph.node("Abs", [given]), graph.number(ZERO)], version=12)
        given = graph.node("Where", [near, graph.number(np.nan), given], version=9)
    if forest.categorical:
        columns = np.zeros((1, forest.width), np.int64)
        columns[0, list(forest.categorical)] = 1
        cut = graph.node("Floor", [given])
        if not forest.strict:  # LightGBM cuts towards zero
            negative = graph.node("Less", [given, graph.number(0.0)])
            cut = graph.node("Where", [negative, graph.node("Ceil", [given]), cut], version=9)
        chosen = graph.node("Cast", [graph.constant(columns, INT64)], to=9)
        given = graph.node("Where", [chosen, cut, given], version=9)
    return given


def attributes(forest: Forest, kind: int) -> dict[str, Any]:
    """What TreeEnsembleRegressor takes, with numbers in float or in double."""
    nodes = _Nodes(forest, kind == DOUBLE)
    # an output that no tree has would lose its base
    bare = set(range(forest.outputs)) - {tree.output for tree in forest.trees}
    for number, tree in enumerate([*forest.trees, *map(_nothing, sorted(bare))]):
        nodes.add(number, tree)
    out: dict[str, Any] = dict(nodes.whole)
    numbers = {**nodes.numbers, "base_values": list(forest.base)}
    if kind == DOUBLE:
        from onnx import numpy_helper

        for name, values in numbers.items():
            out[f"{name}_as_tensor"] = numpy_helper.from_array(np.array(values, np.float64), name)
    else:
        out.update({name: np.array(values, np.float32).tolist() for name, values in numbers.items()})
    return {**out, "n_targets": forest.outputs, "aggregate_function": "SUM", "post_transform": "NONE"}


def _nothing(output: int) -> Tree:
    """A tree that always adds zero."""
    whole, none = np.array([0]), np.zeros(1)
    return Tree(np.array([LEAF]), np.array([LEAF]), whole, none, whole, none, output)


class _Nodes:
    """The operator's lists, filled tree by tree."""

    def __init__(self, forest: Forest, wide: bool) -> None:
        self._strict = forest.strict
        self._wide = wide
        names = (
            "treeids",
            "nodeids",
            "featureids",
            "modes",
            "truenodeids",
            "falsenodeids",
            "missing_value_tracks_true",
        )
        self.whole: dict[str, list[Any]] = {f"nodes_{n}": [] for n in names}
        self.whole.update(target_treeids=[], target_nodeids=[], target_ids=[])
        self.numbers: dict[str, list[float]] = {"nodes_values": [], "target_weights": []}

    def add(self, number: int, tree: Tree) -> None:
        thresholds = tree.threshold if self._wide else rounded(tree.threshold, self._strict)
        nodes = list(tree.reached())
        if len(nodes) == 1:  # onnxruntime wants a split
            self._split(number, 0, 0, "BRANCH_LEQ", 0.0, (1, 2), True)
            self._leaf(number, 1, tree.output, float(tree.value[0]))
            self._leaf(number, 2, tree.output, float(tree.value[0]))
            return
        places, free = {}, 0
        for node in nodes:
            places[node] = free
            free += max(len(tree.categories.get(node, ())), 1)
        plain = "BRANCH_LT" if self._strict else "BRANCH_LEQ"
        for node in nodes:
            at = places[node]
            if tree.left[node] == LEAF:
                self._leaf(number, at, tree.output, float(tree.value[node]))
                continue
            left, right = places[int(tree.left[node])], places[int(tree.right[node])]
            missing, feature = bool(tree.missing_left[node]), int(tree.feature[node])
            if node not in tree.categories:
                self._split(number, at, feature, plain, float(thresholds[node]), (left, right), missing)
                continue
            members = tree.categories[node] or (-2,)  # of the empty set nothing is a member
            for step, code in enumerate(members):
                following = right if step == len(members) - 1 else at + step + 1
                self._split(number, at + step, feature, "BRANCH_EQ", float(code), (left, following), missing)

    def _split(
        self, tree: int, at: int, feature: int, mode: str, value: float, children: tuple[int, int], missing: bool
    ) -> None:
        row = (tree, at, feature, mode, *children, int(missing))
        for name, one in zip(list(self.whole)[:7], row, strict=True):
            self.whole[name].append(one)
        self.numbers["nodes_values"].append(value)

    def _leaf(self, tree: int, at: int, output: int, value: float) -> None:
        self._split(tree, at, 0, "LEAF", 0.0, (0, 0), False)
        for name, one in (("target_treeids", tree), ("target_nodeids", at), ("target_ids", output)):
            self.whole[name].append(one)
        self.numbers["target_weights"].append(value)


def rounded(thresholds: Array, strict: bool) -> Array:
    """Float32 thresholds that every float32 compares with as with the originals: x <= t rounds down, x < t up."""
    exact = np.asarray(thresholds, np.float64)
    with np.errstate(over="ignore"):
        near = exact.astype(np.float32)
    back = near.astype(np.float64)
    wrong, towards = (back < exact, np.inf) if strict else (back > exact, -np.inf)
    return np.where(wrong, np.nextafter(near, np.float32(towards)), near).astype(np.float32)
