"""Thresholds: inputs next to the places where a fitted tree decides, to catch a conversion that decides otherwise.

For every split that some row reaches, one input column of that row is moved, by bisection over float32 numbers,
to the two neighbouring numbers between which the source's own preprocessing crosses the split's threshold. Those two
and their outer neighbours are the probes: within one unit in the last place (ulp) around the threshold, whatever
stands before the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gantline.tensors import Array

from . import forest as boosted
from .boosters import face_in, forest_in
from .sklearn_layout import Layout
from .sklearn_members import members

PER_SPLIT = 4  # probes
BASE_ROWS = 256
STEPS = 33  # of bisection: float32 has 2**32 numbers
Features = Callable[[Any], Array]  # the estimator's table -> what the tree sees


@dataclass(frozen=True, slots=True)
class Tree:
    """The splits of one fitted tree. `left`, `right`: node numbers, negative at leaves. `narrow`: float32 features."""

    left: Array
    right: Array
    feature: Array
    threshold: Array
    features: Features
    narrow: bool


def probes(estimator: Any, layout: Layout, base: Callable[[int], dict[str, Array]], limit: int) -> dict[str, Array]:
    """Up to `limit` rows next to thresholds; empty when there is no tree, or its features cannot be traced back."""
    face = face_in(estimator)
    trees = list(trees_of(estimator, np.asarray if face is None else face.matrix))
    numeric = [t for t in layout.inputs if t.datatype == "FP32"]
    if not trees or not numeric:
        return {}
    inputs = {n: a[:BASE_ROWS] for n, a in base(BASE_ROWS).items()}
    parts = []
    for group in _by_features(trees):
        share = max(1, limit // PER_SPLIT * len(group) // len(trees))
        try:
            parts += _probe(group, layout, inputs, share)
        except (ValueError, TypeError, AttributeError, IndexError):
            continue  # features that cannot be computed apart from the whole: no probes from this group
    if not parts:
        return {}
    return {n: np.concatenate([p[n] for p in parts])[:limit] for n in parts[0]}


def trees_of(one: Any, features: Features) -> Iterator[Tree]:
    """All trees inside a fitted estimator, each with the function from the model's table to its features."""
    if hasattr(one, "best_estimator_"):
        yield from trees_of(one.best_estimator_, features)
    elif hasattr(one, "steps"):
        steps = [s for _, s in one.steps if s is not None and not isinstance(s, str)]
        yield from trees_of(steps[-1], _through(steps[:-1], features))
    elif (forest := forest_in(one)) is not None:
        for tree in forest.trees:
            yield _boosted(tree, forest.narrow, features)
    elif hasattr(one, "tree_"):
        t = one.tree_
        yield Tree(t.children_left, t.children_right, t.feature, t.threshold, features, True)
    elif hasattr(one, "_predictors"):
        for predictor in np.ravel(np.asarray(one._predictors, object)):
            yield _histogram(predictor.nodes, features)
    else:
        subsets = getattr(one, "estimators_features_", None)
        for at, part in enumerate(_parts(one)):
            yield from trees_of(part, features if subsets is None else _subset(subsets[at], features))


def _parts(one: Any) -> list[Any]:
    found = getattr(one, "estimators_", None)
    if found is not None:
        return list(members(found))
    inner = [getattr(one, n) for n in ("estimator_", "regressor_") if hasattr(one, n)]
    return inner + [c.estimator for c in getattr(one, "calibrated_classifiers_", ())]


def _histogram(nodes: Array, features: Features) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    if "is_categorical" in (nodes.dtype.names or ()):
        leaf = leaf | nodes["is_categorical"].astype(bool)  # sets of categories have no threshold
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    left[leaf] = right[leaf] = -1
    return Tree(left, right, nodes["feature_idx"].astype(np.int64), nodes["num_threshold"], features, False)


def _boosted(tree: boosted.Tree, narrow: bool, features: Features) -> Tree:
    left, right = tree.left.copy(), tree.right.copy()
    for node in tree.categories:  # as above
        left[node] = right[node] = -1
    return Tree(left, right, tree.feature, tree.threshold, features, narrow)


def _through(steps: list[Any], features: Features) -> Features:
    if not steps:
        return features

    def run(table: Any) -> Array:
        found: Any = table if features is np.asarray else features(table)
        for step in steps:
            found = step.transform(found)
        return np.asarray(found.toarray() if hasattr(found, "toarray") else found)

    return run


def _subset(columns: Array, features: Features) -> Features:
    return lambda table: features(table)[:, columns]


def _by_features(trees: list[Tree]) -> list[list[Tree]]:
    groups: dict[int, list[Tree]] = {}
    for tree in trees:
        groups.setdefault(id(tree.features), []).append(tree)
    return list(groups.values())


def _probe(trees: list[Tree], layout: Layout, inputs: dict[str, Array], limit: int) -> list[dict[str, Array]]:
    """Probes for trees that share their features, for at most `limit` splits spread evenly over them."""
    seen = _Table(trees[0].features, layout, trees[0].narrow)
    base = seen.features(inputs)
    splits = [(row, f, t) for tree in trees for row, f, t in _reached(tree, base)]
    if len(splits) > limit:
        splits = [splits[i] for i in np.linspace(0, len(splits) - 1, limit).astype(int)]
    if not splits:
        return []
    rows, feature, threshold = (np.array(c) for c in zip(*splits, strict=True))
    column = seen.column_of(inputs, base)[feature]
    usable = column >= 0
    rows, feature, threshold, column = rows[usable], feature[usable], threshold[usable], column[usable]
    return _bisect(seen, inputs, rows, feature, threshold, column) if len(rows) else []


def _reached(tree: Tree, base: Array) -> Iterator[tuple[int, int, float]]:
    """(a row that reaches it, feature, threshold) for each split that some row reaches."""
    stack = [(0, np.arange(len(base)))]
    while stack:
        node, rows = stack.pop()
        if tree.left[node] < 0 or not len(rows):
            continue
        feature, threshold = int(tree.feature[node]), float(tree.threshold[node])
        yield int(rows[node % len(rows)]), feature, threshold
        under = base[rows, feature] <= threshold
        stack += [(int(tree.right[node]), rows[~under]), (int(tree.left[node]), rows[under])]


class _Table:
    """The model's FP32 inputs as numbered columns, and what the trees see of them."""

    def __init__(self, features: Features, layout: Layout, narrow: bool) -> None:
        self._features = features
        self._layout = layout
        self._narrow = narrow
        self.places = [(t.name, i) for t in layout.inputs if t.datatype == "FP32" for i in range(max(t.shape[1], 1))]

    def features(self, inputs: dict[str, Array]) -> Array:
        found = self._features(self._layout.table(inputs))
        return found.astype(np.float32 if self._narrow else np.float64)

    def column_of(self, inputs: dict[str, Array], base: Array) -> Array:
        """For each feature the input column that moves it (the one that moves it most); -1 for none."""
        best = np.zeros(base.shape[1])
        out = np.full(base.shape[1], -1)
        for at, (name, column) in enumerate(self.places):
            moved = {n: a.copy() for n, a in inputs.items()}
            moved[name][:, column] = np.roll(moved[name][:, column], 1)
            effect = np.nan_to_num(np.abs(self.features(moved).astype(np.float64) - base)).max(axis=0)
            out[effect > best] = at
            best = np.maximum(best, effect)
        return out


def _bisect(
    seen: _Table, inputs: dict[str, Array], rows: Array, feature: Array, threshold: Array, column: Array
) -> list[dict[str, Array]]:
    places = [seen.places[c] for c in column]
    line = np.arange(len(rows))
    block = {n: a[rows].copy() for n, a in inputs.items()}

    def under(keys: Array) -> Array:
        moved = _with(block, places, _number(keys))
        return seen.features(moved)[line, feature] <= threshold

    ends = []
    for pick, sign in ((np.nanmin, -1), (np.nanmax, 1)):
        far = np.array([pick(inputs[n][:, c]) for n, c in places], np.float64)
        width = np.array([np.nanmax(inputs[n][:, c]) - np.nanmin(inputs[n][:, c]) for n, c in places], np.float64)
        ends.append(_key((far + sign * (width + 1.0)).astype(np.float32)))
    low, high = ends
    at_low, at_high = under(low), under(high)
    for _ in range(STEPS):
        middle = (low + high) // 2
        same = under(middle) == at_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    crossed = at_low != at_high
    keep = np.flatnonzero(crossed)
    out = []
    for keys in (low - 1, low, high, high + 1):
        moved = _with(block, places, _number(keys))
        out.append({n: a[keep] for n, a in moved.items()})
    return out


def _with(block: dict[str, Array], places: list[tuple[str, int]], values: Array) -> dict[str, Array]:
    out = {n: a.copy() for n, a in block.items()}
    for row, ((name, column), value) in enumerate(zip(places, values, strict=True)):
        out[name][row, column] = value
    return out


def _key(values: Array) -> Array:
    """float32 numbers as integers in the same order, one apart for neighbours."""
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))


def _number(keys: Array) -> Array:
    bits = np.where(keys >= 0, keys, -keys | 0x80000000)
    return bits.astype(np.uint32).view(np.float32)
