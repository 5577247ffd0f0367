"""CatBoost's models as forests, read from the JSON that the model itself saves.

A float32 feature goes right where it is > border; leaves add in float64, times a scale, plus a bias. Symmetric trees
have one split for each level, the first of which is the leaf index's lowest bit.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gantline.errors import Unsupported
from gantline.tensors import Array

from .forest import LEAF, Forest, Tree

_LINKS = {
    "CrossEntropy": "sigmoid",
    "Logloss": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoid",
    "Poisson": "exp",
    "Tweedie": "exp",
}


def forest_of(model: Any) -> Forest:
    """The trees of a catboost.CatBoost. Unsupported: categorical, text or embedding features, which are computed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        return read(json.loads(path.read_bytes()), len(model.feature_names_))


def read(tree: Any, width: int) -> Forest:
    """The same from a model's JSON document."""
    features = tree["features_info"]
    for kind, what in (
        ("categorical_features", "categorical"),
        ("text_features", "text"),
        ("embedding_features", "embedding"),
    ):
        if features.get(kind):
            raise Unsupported(f"CatBoost computes numbers from {what} features, which no ONNX tree can say")
    floats = features["float_features"]
    places = {int(f["feature_index"]): int(f["flat_feature_index"]) for f in floats}
    right = {int(f["feature_index"]): f.get("nan_value_treatment") == "AsTrue" for f in floats}
    loss = tree["model_info"].get("params", {}).get("loss_function", {}).get("type", "")
    scale, bias = tree["scale_and_bias"]
    outputs = max(len(bias), 1)
    reader = _Reader(places, right, outputs, float(scale))
    trees: list[Tree] = []
    for one in tree.get("oblivious_trees") or ():
        trees += reader.symmetric(one)
    for one in tree.get("trees") or ():
        trees += reader.grown(one)
    return Forest(
        trees=tuple(trees),
        width=width,
        base=tuple(float(b) for b in bias) or (0.0,),
        narrow=True,
        link=_LINKS.get(loss, "identity"),
        labels="margin" if outputs == 1 else "largest",
    )


class _Reader:
    """From trees that have a value for each output in each leaf to trees of one output."""

    def __init__(self, places: dict[int, int], right: dict[int, bool], outputs: int, scale: float) -> None:
        self._places = places
        self._right = right
        self._outputs = outputs
        self._scale = scale

    def symmetric(self, one: Any) -> list[Tree]:
        splits = one.get("splits") or []
        depth = len(splits)
        inner = (1 << depth) - 1
        nodes = np.arange(inner)
        left = np.concatenate([2 * nodes + 1, np.full(1 << depth, LEAF)])
        right = np.concatenate([2 * nodes + 2, np.full(1 << depth, LEAF)])
        levels = np.floor(np.log2(nodes + 1)).astype(np.int64)
        values = np.array(one["leaf_values"], np.float64).reshape(1 << depth, self._outputs)
        # the path's turns, the root's first, are the bits of the place among the leaves from the highest down
        order = np.array([int(f"{leaf:0{depth}b}"[::-1], 2) if depth else 0 for leaf in range(1 << depth)])
        told = [splits[level] for level in levels]
        return self._trees(left, right, told, np.arange(inner), values[order], np.arange(inner, 2 * inner + 1))

    def grown(self, one: Any) -> list[Tree]:
        left: list[int] = []
        right: list[int] = []
        told, at, values, leaves = [], [], [], []
        stack = [(one, -1, False)]
        while stack:
            node, parent, goes_left = stack.pop()
            number = len(left)
            left.append(LEAF)
            right.append(LEAF)
            if parent >= 0:
                (left if goes_left else right)[parent] = number
            if "value" in node:
                leaves.append(number)
                values.append(np.atleast_1d(node["value"]))
                continue
            told.append(node["split"])
            at.append(number)
            stack += [(node["right"], number, False), (node["left"], number, True)]
        found = np.array(values, np.float64).reshape(len(leaves), self._outputs)
        return self._trees(np.array(left), np.array(right), told, np.array(at, np.int64), found, np.array(leaves))

    def _trees(self, left: Array, right: Array, told: list[Any], at: Array, values: Array, leaves: Array) -> list[Tree]:
        feature, threshold = np.zeros(len(left), np.int64), np.zeros(len(left))
        missing_left = np.zeros(len(left), bool)
        for node, split in zip(at.tolist(), told, strict=True):
            if split.get("split_type", "FloatFeature") != "FloatFeature":
                raise Unsupported(f"CatBoost's split {split['split_type']} is not known here")
            number = int(split["float_feature_index"])
            feature[node], threshold[node] = self._places[number], float(np.float32(split["border"]))
            missing_left[node] = not self._right[number]
        out = []
        for output in range(self._outputs):
            value = np.zeros(len(left))
            value[leaves] = values[:, output] * self._scale
            out.append(Tree(left, right, feature, threshold, missing_left, value, output))
        return out
