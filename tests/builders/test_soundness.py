"""Indices inside trees: sound ones pass, each kind of bad one is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gantline.builders.soundness import parts_of, unsound
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, IsolationForest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

X = np.random.default_rng(0).normal(size=(200, 3))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(), GradientBoostingClassifier(n_estimators=3), IsolationForest(n_estimators=3),
        HistGradientBoostingClassifier(max_iter=3), KNeighborsClassifier(algorithm="kd_tree"),
        KNeighborsClassifier(algorithm="ball_tree", leaf_size=5),
        make_pipeline(StandardScaler(), DecisionTreeClassifier()),
    ],
    ids=lambda m: type(m).__name__,
)  # fmt: skip
def test_fitted_models_are_sound(model: Any) -> None:
    assert unsound(model.fit(X, Y)) == ""


def tampered(field: str, node: int, value: float) -> Any:
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    state = model.tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][node] = value
    fresh = type(model.tree_)(3, np.array([2]), 1)
    fresh.__setstate__(state)
    model.tree_ = fresh
    return model


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("left_child", 10**9, "child is outside"),
        ("right_child", -5, "child is outside"),
        ("left_child", 0, "child is outside"),  # a circle
        ("feature", 3, "feature that does not exist"),
        ("feature", -1, "feature that does not exist"),
    ],
)
def test_bad_trees_are_told(field: str, value: int, told: str) -> None:
    assert told in unsound(make_pipeline(StandardScaler(), tampered(field, 0, value)))


def test_bad_histograms_are_told() -> None:
    model = HistGradientBoostingClassifier(max_iter=2).fit(X, Y)
    model._predictors[1][0].nodes["right"][0] = 60000
    assert unsound(model) == "TreePredictor: a node's child is outside the tree"


@pytest.mark.parametrize(("part", "told"), [(1, "point's index"), (2, "node's points"), (6, "sizes")])
def test_bad_neighbour_trees_are_told(part: int, told: str) -> None:
    model = KNeighborsClassifier(algorithm="kd_tree", leaf_size=5).fit(X, Y)
    state = list(model._tree.__getstate__())
    if part == 6:
        state[6] = state[6] + 8
    else:
        state[part] = state[part].copy()
        if part == 1:
            state[1][0] = 10**6
        else:
            state[2]["idx_end"][0] = 10**6
    kind: Any = type(model._tree)
    fresh = kind.__new__(kind)
    fresh.__setstate__(tuple(state))
    model._tree = fresh
    assert told in unsound(model)


def test_parts_are_found_through_containers_and_circles() -> None:
    tree = DecisionTreeClassifier().fit(X, Y).tree_
    box: dict[str, Any] = {"list": [np.array([{"deep": (tree,)}], object)]}
    box["self"] = box
    assert any(one is tree for one in parts_of(box))
