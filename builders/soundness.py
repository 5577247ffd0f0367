"""Soundness: whether indices inside loaded trees stay within their arrays, as scikit-learn's compiled code assumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gantline.tensors import Array


def unsound(loaded: Any) -> str:
    """What is wrong with the first tree that points outside its arrays; empty when all are sound."""
    for one in parts_of(loaded):
        kind = type(one).__name__
        if kind == "Tree" and hasattr(one, "children_left"):
            problem = _tree(one)
        elif kind == "TreePredictor" and hasattr(one, "nodes"):
            problem = _predictor(one.nodes)
        elif kind in ("KDTree", "BallTree", "KDTree32", "BallTree32", "KDTree64", "BallTree64"):
            problem = _neighbours(one)
        else:
            continue
        if problem:
            return f"{kind}: {problem}"
    return ""


def parts_of(root: Any) -> Iterator[Any]:
    """Every object that can be reached from this one by attributes, containers and object arrays."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, str | bytes | int | float | type(None)):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, dict):
            stack += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            stack += one
        elif isinstance(one, np.ndarray):
            stack += one.ravel().tolist() if one.dtype.kind == "O" else []
        else:
            stack += getattr(one, "__dict__", {}).values()


def _tree(tree: Any) -> str:
    count = int(tree.node_count)
    leaf = tree.children_left == -1
    if tree.children_left.shape != (count,) or tree.value.shape[0] != count:
        return f"{count} nodes are declared, the arrays differ"
    return _nodes(tree.children_left, tree.children_right, tree.feature, leaf, int(tree.n_features))


def _predictor(nodes: Array) -> str:
    leaf = nodes["is_leaf"].astype(bool)
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    return _nodes(left, right, nodes["feature_idx"].astype(np.int64), leaf, 1 << 31)


def _nodes(left: Array, right: Array, feature: Array, leaf: Array, features: int) -> str:
    count = len(leaf)
    inner = np.flatnonzero(~leaf)
    if not count:
        return "no nodes"
    for child in (left[inner], right[inner]):
        # children come after their parents: so nothing points outside, and no path runs in a circle
        if ((child <= inner) | (child >= count)).any():
            return "a node's child is outside the tree"
    if ((feature[inner] < 0) | (feature[inner] >= features)).any():
        return "a node asks for a feature that does not exist"
    return ""


def _neighbours(tree: Any) -> str:
    data, order, nodes, bounds, _, levels, count = tree.__getstate__()[:7]
    rows = len(data)
    if len(order) != rows or len(nodes) != count or bounds.shape[1] != count or 2**levels - 1 != count:
        return "sizes of its arrays do not agree"
    if ((order < 0) | (order >= rows)).any():
        return "a point's index is outside the data"
    start, end = nodes["idx_start"], nodes["idx_end"]
    if ((start < 0) | (end > rows) | (start > end)).any():
        return "a node's points are outside the data"
    return ""
