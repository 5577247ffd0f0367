"""LightGBM's models as forests, read from the text that the booster itself saves.

Trees compare float64 with <= and add in float64. Each split says what is missing: nothing (NaN is 0 then), NaN, or
zero and NaN. A set of categories is of those that go left; NaN goes right there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gantline.errors import Unsupported
from gantline.tensors import Array

from .forest import LEAF, ZERO, Forest, Tree

_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of decision_type; the two above say what is missing
_NONE, _ZERO = 0, 1
_LINKS = {
    "binary": "sigmoid",
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "log1p_exp",
    "fair": "identity",
    "gamma": "exp",
    "huber": "identity",
    "lambdarank": "identity",
    "mape": "identity",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    "poisson": "exp",
    "quantile": "identity",
    "rank_xendcg": "identity",
    "regression": "identity",
    "regression_l1": "identity",
    "tweedie": "exp",
}


def forest_of(booster: Any, rounds: int = 0) -> Forest:
    """The first `rounds` rounds of a lightgbm.Booster (0: its best iteration, else all), as its own predict has it."""
    text = booster.model_to_string(num_iteration=rounds or None, start_iteration=0)
    return read(text)


def read(text: str) -> Forest:
    """The same from the text of a model file. Unsupported names what no ONNX tree can say."""
    blocks = _blocks(text)
    head = next(blocks)
    words = head.get("objective", "custom").split()
    kind, settings = words[0], dict(w.split(":", 1) for w in words[1:] if ":" in w)
    if kind not in _LINKS and kind != "custom":
        raise Unsupported(f"LightGBM's objective {kind} is not known here")
    link = _LINKS.get(kind, "identity")
    if kind == "regression" and "sqrt" in words:
        link = "signed_square"
    outputs = int(head["num_tree_per_iteration"])
    found = [_tree(block, at % outputs) for at, block in enumerate(blocks)]
    trees = [tree for tree, _ in found]
    if "average_output" in head:
        trees = [tree.scaled(outputs / len(trees)) for tree in trees]
    width = int(head["max_feature_idx"]) + 1
    infos = head.get("feature_infos", "").split()
    return Forest(
        trees=tuple(trees),
        width=width,
        base=(0.0,) * outputs,
        link=link,
        steepness=float(settings.get("sigmoid", 1.0)) if link == "sigmoid" else 1.0,
        zero_is_missing=any(zero for _, zero in found),
        categorical=tuple(i for i, told in enumerate(infos[:width]) if told != "none" and not told.startswith("[")),
    )


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """The head, then each tree, as keys and values."""
    block: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("Tree="):
            yield block
            block = {}
        elif line == "end of trees":
            break
        name, _, value = line.partition("=")
        if name:
            block[name] = value
    yield block


def _tree(block: Mapping[str, str], output: int) -> tuple[Tree, bool]:
    """A tree, and whether zero is missing in it. Splits come first, then leaves, which children name as -1, -2, ..."""
    if block.get("is_linear", "0") == "1":
        raise Unsupported("LightGBM's linear trees are not known here")
    values = _numbers(block, "leaf_value")
    splits = len(values) - 1
    if not splits:
        one = np.array([LEAF])
        return Tree(one, one, np.zeros(1, np.int64), np.zeros(1), np.zeros(1, bool), values, output), False
    kinds = _numbers(block, "decision_type").astype(np.int64)
    threshold = _numbers(block, "threshold")
    absent = (kinds >> 2) & 3
    chosen = (kinds & _CATEGORICAL) != 0
    missing_left = np.where(absent == _NONE, threshold >= 0.0, (kinds & _DEFAULT_LEFT) != 0) & ~chosen
    ends = [_children(_numbers(block, side), splits) for side in ("left_child", "right_child")]
    leaves = np.full(len(values), LEAF)
    tree = Tree(
        left=np.concatenate([ends[0], leaves]),
        right=np.concatenate([ends[1], leaves]),
        feature=_padded(_numbers(block, "split_feature").astype(np.int64), len(values)),
        threshold=_padded(_around_zero(threshold), len(values)),
        missing_left=_padded(missing_left, len(values)),
        value=np.concatenate([np.zeros(splits), values]),
        output=output,
        categories=_sets(block, np.flatnonzero(chosen), threshold),
    )
    return tree, bool(((absent == _ZERO) & ~chosen).any())


def _around_zero(threshold: Array) -> Array:
    """Thresholds so near to zero that they part nothing: what is ZERO or nearer is zero to LightGBM's predict."""
    above = np.where((threshold >= 0.0) & (threshold <= ZERO), ZERO, threshold)
    return np.where((above < 0.0) & (above >= -ZERO), np.nextafter(-ZERO, -np.inf), above)


def _children(told: Array, splits: int) -> Array:
    whole = told.astype(np.int64)
    return np.where(whole < 0, splits + ~whole, whole)


def _padded(values: Array, leaves: int) -> Array:
    return np.concatenate([values, np.zeros(leaves, values.dtype)])


def _sets(block: Mapping[str, str], nodes: Array, threshold: Array) -> dict[int, tuple[int, ...]]:
    """The categories that go left at each node, from words of 32 bits."""
    if not len(nodes):
        return {}
    starts, words = (_numbers(block, name).astype(np.int64) for name in ("cat_boundaries", "cat_threshold"))
    out = {}
    for node in nodes.tolist():
        which = int(threshold[node])
        own = words[starts[which] : starts[which + 1]].tolist()
        out[node] = tuple(32 * at + bit for at, word in enumerate(own) for bit in range(32) if word >> bit & 1)
    return out


def _numbers(block: Mapping[str, str], name: str) -> Array:
    return np.array(block[name].split(), np.float64)
