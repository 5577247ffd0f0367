"""Probes next to the thresholds of trees, through whatever stands before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_ranges import sampler
from gantline.builders.thresholds import _key, _number, probes, trees_of
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from gantline.tensors import Array

R = np.random.default_rng(0)
X = R.normal(size=(150, 3)) * [1, 100, 0.01]
Y = ((X[:, 0] > 0.2) ^ (X[:, 1] > 30)).astype(int)
TREE = DecisionTreeClassifier(random_state=0)


def base(rows: int) -> dict[str, Array]:
    return {"X": X[:rows].astype(np.float32)}


def test_numbers_and_keys_keep_their_order() -> None:
    values = np.array([-np.inf, -1e30, -1.0, -1e-40, 0.0, 1e-45, 1.0, 3e38, np.inf], np.float32)
    keys = _key(values)
    assert (np.diff(keys) > 0).all() and np.array_equal(_number(keys), values)
    one = _key(np.array([1.0], np.float32))
    assert _number(one + 1)[0] == np.nextafter(np.float32(1), np.float32(2))
    below = _key(np.array([0.0], np.float32)) - 1
    assert _number(below)[0] == np.nextafter(np.float32(0), np.float32(-1))


def test_every_split_of_a_plain_tree_has_both_sides() -> None:
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, Y)
    near = probes(model, layout_of(model, None), base, 4096)["X"]
    tree = model.tree_
    inner = np.flatnonzero(tree.children_left >= 0)
    for node in inner:
        column = near[:, tree.feature[node]].astype(np.float64)
        threshold = tree.threshold[node]
        under, over = column[column <= threshold], column[column > threshold]
        low, high = np.float32(under.max()), np.float32(over.min())
        assert np.nextafter(low, np.float32(np.inf)) == high, f"node {node}: not neighbours"
    assert len(near) == 4 * len(inner)


@pytest.mark.parametrize("before", [StandardScaler(), MinMaxScaler(), make_pipeline(StandardScaler(), PCA(2))])
def test_the_source_itself_crosses_between_the_probes(before: Any) -> None:
    """Whatever stands before the tree: neighbouring inputs on both sides of the transformed threshold."""
    model = make_pipeline(before, TREE).fit(X, Y)
    near = probes(model, layout_of(model, None), base, 400)["X"]
    assert len(near) >= 20
    quarter = len(near) // 4
    leaves = model[-1].apply(model[:-1].transform(near.astype(np.float64)))
    below, above = near[quarter : 2 * quarter], near[2 * quarter : 3 * quarter]
    assert (leaves[quarter : 2 * quarter] != leaves[2 * quarter : 3 * quarter]).mean() > 0.9
    assert ((below != above).sum(axis=1) == 1).all()


MODELS: dict[str, Callable[[], Any]] = {
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "extra": lambda: ExtraTreesClassifier(5, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=5),
    "bagging": lambda: BaggingClassifier(TREE, n_estimators=4, max_features=2, random_state=0),
    "adaboost": lambda: AdaBoostClassifier(TREE, n_estimators=3),
    "isolation": lambda: IsolationForest(n_estimators=4, random_state=0),
    "search": lambda: GridSearchCV(make_pipeline(StandardScaler(), TREE), {}, cv=2),
    "vote": lambda: VotingClassifier([("a", TREE), ("b", LogisticRegression())]),
    "stack": lambda: StackingClassifier([("a", make_pipeline(StandardScaler(), TREE))], cv=2),
}


@pytest.mark.parametrize("kind", MODELS)
def test_trees_are_found_wherever_they_are(kind: str) -> None:
    model = MODELS[kind]().fit(X, Y)
    assert len(list(trees_of(model, np.asarray))) >= 1
    near = probes(model, layout_of(model, None), base, 256)["X"]
    assert 8 <= len(near) <= 256 and near.dtype == np.float32 and np.isfinite(near).all()


def test_columns_of_a_frame() -> None:
    frame = pd.DataFrame({"kind": R.choice(["a", "b"], 150), "big": X[:, 1], "small": X[:, 2]})
    parts = ColumnTransformer([("k", OneHotEncoder(), ["kind"]), ("n", StandardScaler(), ["big", "small"])])
    model = make_pipeline(parts, RandomForestClassifier(5, random_state=0)).fit(frame, Y)
    layout = layout_of(model, None)
    draw, known = sampler(model, layout)
    near = probes(model, layout, draw, 400)
    assert known and near.keys() == {"kind", "big", "small"}
    assert len(near["big"]) > 40 and set(near["kind"].ravel()) <= {b"a", b"b"}


def test_models_without_trees_or_numbers_have_none() -> None:
    linear = LogisticRegression().fit(X, Y)
    assert probes(linear, layout_of(linear, None), base, 100) == {}
    texts = ["good film", "bad film", "good", "bad"]
    words = make_pipeline(CountVectorizer(), TREE).fit(texts, [1, 0, 1, 0])
    layout = layout_of(words, None)
    assert probes(words, layout, sampler(words, layout)[0], 100) == {}
    stump = DecisionTreeClassifier().fit(X, np.zeros(len(X)))
    assert probes(stump, layout_of(stump, None), base, 100) == {}
