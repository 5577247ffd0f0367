"""XGBoost's models as forests, read from the JSON that the booster itself saves.

Trees compare float32 with < and add in float32. What is in `base_score` is an answer, not a margin: it passes the
objective's inverse link first. DART's trees have weights; a set of categories is of those that go right.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np

from gantline.errors import Unsupported

from .categories import Categories, usable
from .forest import Forest, Tree

_LINKS = {
    "binary:hinge": "above_zero",
    "binary:logistic": "sigmoid",
    "binary:logitraw": "identity",
    "count:poisson": "exp",
    "multi:softmax": "largest",
    "multi:softprob": "softmax",
    "rank:map": "identity",
    "rank:ndcg": "identity",
    "rank:pairwise": "identity",
    "reg:absoluteerror": "identity",
    "reg:expectileerror": "identity",
    "reg:gamma": "exp",
    "reg:linear": "identity",
    "reg:logistic": "sigmoid",
    "reg:pseudohubererror": "identity",
    "reg:quantileerror": "identity",
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:tweedie": "exp",
    "survival:aft": "exp",
    "survival:cox": "exp",
}


def forest_of(booster: Any, rounds: int = 0) -> Forest:
    """The first `rounds` rounds of an xgboost.Booster (0: all). Unsupported names what no ONNX tree can say."""
    return read(json.loads(booster.save_raw("json")), rounds)


def categories_of(booster: Any) -> Categories:
    """The categories behind the codes, as models of XGBoost 3.1 and later keep them; nothing where any is not known.

    XGBoost 3.2 measures texts in characters and keeps that many bytes, so that beyond ASCII they are cut: not usable.
    """
    told = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    model = told["gbtree"]["model"] if told["name"] == "dart" else told.get("model", {})
    kept = model.get("cats", {}).get("enc", [])
    columns = [at for at, kind in enumerate(booster.feature_types or ()) if kind == "c"]
    found = {at: _named(kept[at]) if at < len(kept) else () for at in columns}
    return found if all(found.values()) else {}


def _named(kept: Any) -> tuple[Any, ...]:
    values = kept["values"]
    if "offsets" not in kept:
        return usable(values)
    if any(v < 0 or v > 127 for v in values):
        return ()
    text, ends = bytes(values).decode(), kept["offsets"]
    return usable(text[a:b] for a, b in pairwise(ends))


def read(tree: Any, rounds: int = 0) -> Forest:
    """The same from a model's JSON document."""
    learner = tree["learner"]
    objective = learner["objective"]["name"]
    if objective not in _LINKS:
        raise Unsupported(f"XGBoost's objective {objective} is not known here")
    told = learner["gradient_booster"]
    if told["name"] not in ("gbtree", "dart"):
        raise Unsupported(f"XGBoost's booster {told['name']} is not made of trees")
    model = told["gbtree"]["model"] if told["name"] == "dart" else told["model"]
    weights = told.get("weight_drop") or [1.0] * len(model["trees"])
    facts = learner["learner_model_param"]
    outputs = max(int(facts["num_class"]), int(facts.get("num_target", 1)), 1)
    count = _trees_in(model, rounds, outputs)
    trees = [
        _tree(one, int(group)).scaled(float(weight))
        for one, group, weight in zip(model["trees"][:count], model["tree_info"], weights, strict=False)
    ]
    types = learner.get("feature_types") or ()
    return Forest(
        trees=tuple(trees),
        width=int(facts["num_feature"]),
        base=_base(facts["base_score"], objective, outputs),
        strict=True,
        narrow=True,
        link=_LINKS[objective],
        labels="each" if outputs > 1 and _LINKS[objective] == "sigmoid" else "largest",
        categorical=tuple(i for i, kind in enumerate(types) if kind == "c"),
    )


def _trees_in(model: Any, rounds: int, outputs: int) -> int:
    if not rounds:
        return len(model["trees"])
    starts = model.get("iteration_indptr")
    if starts:
        return int(starts[min(rounds, len(starts) - 1)])
    parallel = int(model["gbtree_model_param"].get("num_parallel_tree", 1) or 1)
    return rounds * parallel * outputs


def _base(told: str, objective: str, outputs: int) -> tuple[float, ...]:
    """`base_score` as margins: one number, or (from 3.1 on) a list of them in text."""
    values = np.array([float(v) for v in told.strip("[]").split(",")], np.float32)
    link = _LINKS[objective]
    with np.errstate(divide="ignore"):
        if link == "sigmoid":
            values = -np.log(np.float32(1.0) / values - np.float32(1.0))
        elif link == "exp":
            values = np.log(values)
    return tuple(float(v) for v in np.broadcast_to(values, (outputs,)))


def _tree(one: Any, output: int) -> Tree:
    if int(one["tree_param"].get("size_leaf_vector", "1") or 1) > 1:
        raise Unsupported("XGBoost's trees with a vector in each leaf (multi_output_tree) are not known here")
    left, right = np.array(one["left_children"], np.int64), np.array(one["right_children"], np.int64)
    conditions = np.array(one["split_conditions"], np.float32).astype(np.float64)
    missing_left = np.array(one["default_left"], bool)
    sets: dict[int, tuple[int, ...]] = {}
    places = zip(one["categories_nodes"], one["categories_segments"], one["categories_sizes"], strict=True)
    for node, start, size in places:
        sets[int(node)] = tuple(int(c) for c in one["categories"][start : start + size])
        left[node], right[node] = right[node], left[node]  # these go right, and ours go left
        missing_left[node] = not missing_left[node]
    feature = np.array(one["split_indices"], np.int64)
    return Tree(left, right, feature, conditions, missing_left, conditions, output, sets)
