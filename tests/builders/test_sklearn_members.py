"""Estimators inside an ensemble, where numpy would take them apart."""

from __future__ import annotations

import numpy as np
from gantline.builders.sklearn_members import members
from sklearn.ensemble import BaggingRegressor, GradientBoostingClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X = np.random.default_rng(0).normal(size=(60, 2))


def test_pipelines_and_forests_stay_whole() -> None:
    inner = make_pipeline(StandardScaler(), RandomForestRegressor(2))
    bags = BaggingRegressor(inner, n_estimators=3, random_state=0).fit(X, X[:, 0])
    assert list(members(bags.estimators_)) == bags.estimators_


def test_grids_are_flat_and_names_are_none() -> None:
    boosted = GradientBoostingClassifier(n_estimators=2).fit(X, np.arange(60) % 3)
    assert len(list(members(boosted.estimators_))) == 6
    assert list(members(["drop", None])) == [] == list(members(None))
