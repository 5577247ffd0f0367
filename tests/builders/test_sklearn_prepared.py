"""Estimators made ready for skl2onnx: other objects, the same answers, the original as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gantline.builders.sklearn_prepared import prepared, without_gaps
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingRegressor, VotingClassifier
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder
from sklearn.random_projection import SparseRandomProjection
from sklearn.semi_supervised import SelfTrainingClassifier

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
PROJECTION = SparseRandomProjection(2, random_state=0)
MODELS: dict[str, Any] = {
    "search": GridSearchCV(Ridge(), {}, cv=2),
    "frozen": FrozenEstimator(Ridge().fit(X, Y)),
    "half labelled": SelfTrainingClassifier(LogisticRegression()),
    "selector": RFE(LogisticRegression(), n_features_to_select=1),
    "projection": PROJECTION,
    "columns": ColumnTransformer([("p", PROJECTION, [0, 1, 2]), ("s", "passthrough", [1])]),
    "union": FeatureUnion([("p", PROJECTION), ("s", StandardScaler())]),
    "steps": make_pipeline(RFE(Ridge(), n_features_to_select=2), PROJECTION, Ridge()),
    "vote": VotingClassifier([("a", LogisticRegression()), ("b", "drop")], voting="soft", weights=[2, 1]),
    "stack": StackingRegressor([("a", GridSearchCV(Ridge(), {}, cv=2))], cv=2),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_answers_are_the_same(kind: str) -> None:
    target = np.where(np.arange(60) % 3, Y, -1) if kind == "half labelled" else Y
    model = MODELS[kind].fit(X, target)
    before = dict(model.__dict__)
    ready = prepared(model)
    assert ready is not model and model.__dict__ == before
    method = "predict" if hasattr(model, "predict") else "transform"
    want, got = getattr(model, method)(X), getattr(ready, method)(X)
    np.testing.assert_allclose(getattr(got, "toarray", lambda: got)(), getattr(want, "toarray", lambda: want)())


def test_what_needs_no_change_is_itself() -> None:
    model = Ridge().fit(X, Y)
    assert prepared(model) is model


def test_weights_of_those_that_vote() -> None:
    vote = prepared(MODELS["vote"].fit(X, Y))
    assert vote.weights.tolist() == [2.0] and vote.flatten_transform is False


def test_a_missing_text_is_an_empty_one() -> None:
    texts = np.array([["a"], ["b"], [np.nan], [None]] * 5, object)
    encoder = TargetEncoder(cv=2, target_type="continuous").fit(texts, np.arange(20.0))
    assert prepared(encoder).categories_[0].tolist() == ["a", "b", "", ""]
    numbers = np.array([1.0, np.nan])
    assert without_gaps(numbers) is numbers
