"""How an estimator's table is laid out as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from gantline.builders.sklearn_layout import Layout, layout_of, places_of
from gantline.builders.sklearn_ranges import ranges_of
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from gantline.errors import BadArtefact, BadRequest

FRAME = pd.DataFrame({
    "n": [1.0, 2, 3, 4], "city": ["a", "b", "a", "b"], "grade": [1, 2, 3, 1], "spare": [0.0, 0, 1, 1],
})  # fmt: skip
TARGET = [0, 1, 0, 1]


def inputs(layout: Layout) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(t.name, t.datatype, t.shape) for t in layout.inputs]


def test_numbers_are_one_matrix() -> None:
    array = Ridge().fit(np.ones((4, 3)), TARGET)
    named = make_pipeline(StandardScaler(), Ridge()).fit(FRAME[["n", "spare"]], TARGET)
    assert inputs(layout_of(array, None)) == [("X", "FP32", (-1, 3))]
    layout = layout_of(named, None)
    assert inputs(layout) == [("X", "FP32", (-1, 2))] and layout.columns == ("n", "spare")
    table = layout.table({"X": np.array([[1, 2]], np.float32)})
    assert list(table.columns) == ["n", "spare"] and table.n.dtype == np.float64


def split(*parts: Any) -> Any:
    return make_pipeline(ColumnTransformer(list(parts)), LogisticRegression()).fit(FRAME, TARGET)


def test_a_column_transformer_makes_an_input_a_column() -> None:
    model = split(("a", StandardScaler(), ["n"]), ("b", OneHotEncoder(), ["city", "grade"]))
    layout = layout_of(model, None)
    assert inputs(layout) == [("n", "FP32", (-1, 1)), ("city", "BYTES", (-1, 1)), ("grade", "INT64", (-1, 1))]
    city = np.array([[b"a"], [b"b"]], object)
    given = {"n": np.ones((2, 1), np.float32), "city": city, "grade": np.ones((2, 1), int)}
    table = layout.table(given)
    assert list(table.columns) == ["n", "city", "grade"] and table.city.tolist() == ["a", "b"]
    assert model.predict(table).shape == (2,)


@pytest.mark.parametrize(
    "columns",
    [["n", "spare"], [0, 3], [-4, -1], np.array([True, False, False, True]), make_column_selector(dtype_include=float)],
)
def test_columns_however_they_are_named(columns: Any) -> None:
    model = split(("a", StandardScaler(), columns))
    assert [t.name for t in layout_of(model, None).inputs] == ["n", "spare"]


def test_slices_of_names_include_their_end() -> None:
    transformer = ColumnTransformer([("a", "passthrough", slice("city", "grade"))]).fit(FRAME)
    assert places_of(slice("city", "grade"), transformer) == [1, 2]
    assert places_of(slice(1, 3), transformer) == [1, 2]


def test_what_passes_through_is_an_input_and_what_is_dropped_is_none() -> None:
    kept = ColumnTransformer([("a", StandardScaler(), ["n"])], remainder="passthrough").fit(FRAME.drop(columns="city"))
    assert [t.name for t in layout_of(kept, None).inputs] == ["n", "grade", "spare"]
    dropped = ColumnTransformer([("a", StandardScaler(), ["n"]), ("b", "drop", ["grade"])]).fit(FRAME)
    assert [t.name for t in layout_of(dropped, None).inputs] == ["n"]


def test_text_alone_is_one_matrix_of_bytes() -> None:
    words = FRAME[["city", "city"]].to_numpy(object)
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(words, TARGET)
    assert inputs(layout_of(model, None)) == [("X", "BYTES", (-1, 2))]
    documents = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["a film", "bad film", "x y", "y z"], TARGET)
    layout = layout_of(documents, None)
    assert inputs(layout) == [("X", "BYTES", (-1, 1))] and layout.documents
    assert layout.table({"X": np.array([["é".encode()], [b"\xff"]], object)}).tolist() == ["é", "\udcff"]


def test_searches_and_imputers_are_looked_through() -> None:
    search = GridSearchCV(make_pipeline(OrdinalEncoder(), LogisticRegression()), {}, cv=2).fit(FRAME[["city"]], TARGET)
    assert inputs(layout_of(search, None)) == [("X", "BYTES", (-1, 1))]
    imputed = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(), LogisticRegression())
    imputed.fit(FRAME[["city"]].astype(object), TARGET)
    assert inputs(layout_of(imputed, None))[0][1] == "BYTES"


def test_categories_that_float32_cannot_hold_are_doubles() -> None:
    exact = OneHotEncoder().fit(np.array([[0.5], [1.5]]))
    inexact = OneHotEncoder().fit(np.array([[0.1], [0.2]]))
    assert inputs(layout_of(exact, None))[0][1] == "FP32"
    assert inputs(layout_of(inexact, None))[0][1] == "FP64"


def test_the_sample_helps_where_the_estimator_knows_nothing() -> None:
    free = FunctionTransformer().fit(FRAME)
    layout = layout_of(free, {n: FRAME[n].to_numpy(object if n == "city" else None) for n in map(str, FRAME)})
    assert dict(enumerate(t.datatype for t in layout.inputs))[1] == "BYTES" and len(layout.inputs) == 4
    with pytest.raises(BadArtefact, match="does not know how many columns"):
        layout_of(object(), None)


def test_mixed_columns_without_names_are_refused() -> None:
    mixed = np.array([[1.0, "a"], [2.0, "b"]], object)
    model = ColumnTransformer([("a", StandardScaler(), [0]), ("b", OneHotEncoder(), [1])]).fit(mixed)
    with pytest.raises(BadArtefact, match="fit it on a data frame"):
        layout_of(model, None)


def test_chosen_takes_the_models_columns_in_its_order() -> None:
    layout = layout_of(Ridge().fit(FRAME[["n", "spare"]], TARGET), None)
    sample = {"spare": np.ones(2), "other": np.zeros(2), "n": np.full(2, 5.0)}
    assert list(layout.chosen(sample)) == ["n", "spare"]
    for whole in ({"": np.ones((2, 2))}, {"X": np.ones((2, 2))}, {"0": np.ones(2), "1": np.ones(2)}):
        assert layout.chosen(whole).keys() == whole.keys()
    with pytest.raises(BadRequest, match="the sample lacks 'spare'"):
        layout.chosen({"n": np.ones(2), "SPARE": np.ones(2)})


@pytest.mark.parametrize(("missing", "kind"), [(np.nan, "nan"), (None, "none")])
def test_an_empty_text_is_the_missing_one_that_the_estimator_knows(missing: Any, kind: str) -> None:
    city = pd.Series(["a", missing, "b", missing], dtype=object)
    frame = FRAME.assign(city=city, plan=["", "p", "p", ""])
    words = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame[["city", "plan"]], TARGET)
    layout = layout_of(words, None)
    assert layout.matrix and layout.gaps == ((0, kind),)  # an empty plan is a plan
    table = layout.table({"X": np.array([[b"a", b""], [b"", b"p"]], object)})
    assert table.plan.tolist() == ["", "p"] and table.city[0] == "a"
    assert table.city[1] is None if kind == "none" else table.city[1] != table.city[1]
    answers = words.predict_proba(frame[["city", "plan"]])
    rows = [[c.encode() if isinstance(c, str) else b"", p.encode()] for c, p in zip(city, frame.plan, strict=True)]
    np.testing.assert_array_equal(words.predict_proba(layout.table({"X": np.array(rows, object)})), answers)

    parts = [("n", StandardScaler(), ["n"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    mixed = make_pipeline(ColumnTransformer(parts), Ridge()).fit(frame, TARGET)
    layout = layout_of(mixed, None)
    assert layout.gaps == ((1, kind),)
    given = {"n": np.ones((3, 1), np.float32), "city": np.array([[b"a"], [b"b"], [b"a"]], object)}
    empty = layout.with_gaps(given)
    assert empty["city"].ravel().tolist() == [b"", b"b", b""] and given["city"][0] == b"a"
    assert layout.table(empty).city.isna().tolist() == [True, False, True]


def test_what_an_imputer_of_texts_fills_is_a_gap() -> None:
    frame = FRAME.assign(city=pd.Series(["a", np.nan, "b", "a"], dtype=object))
    filled = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    parts = [("n", SimpleImputer(), ["n"]), ("c", filled, ["city"])]
    model = make_pipeline(ColumnTransformer(parts), Ridge()).fit(frame, TARGET)
    layout = layout_of(model, None)
    assert [t.name for t in layout.inputs] == ["n", "city"] and layout.gaps == ((1, "nan"),)


def test_histogram_boosting_takes_categories_by_name() -> None:
    """And not as numbers, all of which would be categories that it never met."""
    city = pd.Categorical(["Oslo", "Rome", None] * 20)
    frame = pd.DataFrame({"age": np.arange(60.0), "city": city, "shop": [1, 2, 5] * 20})
    model = HistGradientBoostingRegressor(max_iter=2, categorical_features=["city", "shop"]).fit(frame, np.arange(60.0))
    layout = layout_of(make_pipeline(model), None)
    assert [(t.name, t.datatype) for t in layout.inputs] == [("age", "FP32"), ("city", "BYTES"), ("shop", "INT64")]
    assert layout.gaps == ((1, "nan"),)
    age, place, shop = ranges_of(model, 3)
    assert age is not None and age.low < 5 and age.high > 50
    assert place is not None and place.values == ("Oslo", "Rome") and shop is not None and shop.values == (1, 2, 5)
