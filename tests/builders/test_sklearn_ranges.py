"""What estimators remember of the data that they saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_ranges import ranges_of, sampler
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from gantline.tensors import Array

R = np.random.default_rng(0)
X = np.stack([R.uniform(100, 200, 300), R.uniform(-3, -1, 300)], axis=1)
Y = X[:, 0] + X[:, 1]

KNOWING: list[Any] = [
    StandardScaler(), MinMaxScaler(), RobustScaler(), MaxAbsScaler(), QuantileTransformer(n_quantiles=20),
    KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), PCA(2), DecisionTreeRegressor(), SVR(),
    RandomForestRegressor(3), HistGradientBoostingRegressor(max_iter=3), KNeighborsRegressor(),
    GaussianProcessRegressor(optimizer=None), BaggingRegressor(DecisionTreeRegressor(), n_estimators=3),
    make_pipeline(StandardScaler(), Ridge()), GridSearchCV(make_pipeline(MinMaxScaler(), Ridge()), {}, cv=2),
]  # fmt: skip


@pytest.mark.parametrize("model", KNOWING, ids=lambda m: type(m).__name__)
def test_rows_look_like_the_data(model: Any) -> None:
    model.fit(X, Y)
    draw, known = sampler(model, layout_of(model, None))
    rows = draw(200)["X"]
    assert known and rows.shape == (200, 2) and rows.dtype == np.float32
    # MaxAbsScaler knows no lower end
    assert rows[:, 0].min() > -220 and 150 < rows[:, 0].max() < 280
    assert -6 < rows[:, 1].min() < -1.5 and rows[:, 1].max() < 4
    assert np.array_equal(draw(200)["X"], rows)


@pytest.mark.parametrize("model", [GaussianNB(), LinearDiscriminantAnalysis()])
def test_classes_know_their_means(model: Any) -> None:
    model.fit(X, (X[:, 0] > 150).astype(int))
    assert all(r is not None for r in ranges_of(model, 2))


def test_a_linear_model_knows_nothing() -> None:
    model = LogisticRegression().fit(X, Y > 148)
    draw, known = sampler(model, layout_of(model, None))
    assert not known and abs(draw(500)["X"].std() - 1) < 0.2


def test_imputers_make_gaps() -> None:
    model = make_pipeline(SimpleImputer(), StandardScaler(), Ridge()).fit(X, Y)
    rows = sampler(model, layout_of(model, None))[0](70)["X"]
    assert np.isnan(rows).sum() == 20 and np.nanmin(rows[:, 0]) > 50


def test_columns_of_a_frame() -> None:
    frame = pd.DataFrame({"n": X[:, 0], "city": R.choice(["Oslo", "Rome"], 300), "unused": 1.0})
    parts = ColumnTransformer([("n", StandardScaler(), ["n"]), ("c", OneHotEncoder(), ["city"])])
    model = make_pipeline(parts, Ridge()).fit(frame, Y)
    rows = sampler(model, layout_of(model, None))[0](50)
    assert rows.keys() == {"n", "city"} and rows["n"].shape == (50, 1)
    assert set(rows["city"].ravel()) == {b"Oslo", b"Rome"} and rows["n"].min() > 50


def test_documents_are_made_of_the_vocabulary() -> None:
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good film", "bad film"], [1, 0])
    rows: Array = sampler(model, layout_of(model, None))[0](20)["X"]
    assert rows.shape == (20, 1)
    texts = [text.decode() for text in rows.ravel()]
    assert {w for text in texts[::2] for w in text.split()} == {"good", "bad", "film"}
    # every other one as somebody might write it
    assert any("FILM" in t for t in texts[1::2]) and all("film" in t.lower() for t in texts[1::2])
    assert any(not t.isascii() for t in texts[1::2]) and any(", " in t for t in texts[1::2])


def test_a_split_between_missing_and_known_has_no_range() -> None:
    holes = np.where(np.random.default_rng(0).random((200, 2)) < 0.3, np.nan, 1.0)
    model = DecisionTreeClassifier().fit(holes, np.isnan(holes[:, 0]))
    assert np.isinf(model.tree_.threshold[0])
    assert np.isfinite(sampler(model, layout_of(model, None))[0](20)["X"]).all()
