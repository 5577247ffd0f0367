"""Encoders, bins and imputers in ONNX: every category, missing and unknown ones, both sides of every edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders import from_sklearn, sklearn_encoders
from gantline.builders.canonical import canonicalise
from gantline.builders.sklearn_answers import answers_of, reference
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_onnx import WAYS, Way, to_onnx
from gantline.builders.source import Source
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from gantline.errors import BadRequest
from gantline.tensors import Array

# the source says so on every row of which that is asked here
pytestmark = pytest.mark.filterwarnings("ignore:Found unknown categories")
R = np.random.default_rng(5)
CITY = R.choice(["Oslo", "Rome", "Zürich", "Bern"], 200, p=[0.5, 0.3, 0.15, 0.05]).astype(object)
HOLES = np.where(R.random(200) < 0.1, np.nan, CITY)
GRADE = R.integers(1, 6, 200)
PRICE = R.choice([0.5, 1.25, 4.0, np.nan], 200)
TEXTS = [b"Oslo", b"Rome", "Zürich".encode(), b"Bern", b""]


def answered(model: Any, inputs: dict[str, Array], folder: Path, way: Way = WAYS[0]) -> None:
    """ONNX says on these inputs what the source says."""
    layout, asked = layout_of(model, None), answers_of(model)
    to_onnx(model, layout, way, len(asked), folder / "m.onnx")
    got = open_model(folder / "m.onnx").run(inputs, ["variable"])[0]
    np.testing.assert_allclose(got, reference(model, layout, asked)(inputs)[0], rtol=1e-5, equal_nan=True)


def texts(*values: bytes) -> dict[str, Array]:
    return {"X": np.array([[v] for v in values], object)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("encoder", "unknown"),
    [
        (OneHotEncoder(handle_unknown="ignore"), True),
        (OneHotEncoder(drop="first"), False),
        (OneHotEncoder(drop="first", handle_unknown="ignore"), True),
        (OneHotEncoder(drop="if_binary", sparse_output=False), False),
        (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=40), True),
        (OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2), True),
        (OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=3, drop="first"), True),
        (OneHotEncoder(handle_unknown="ignore", max_categories=3), True),
        (OrdinalEncoder(), False),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), True),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), True),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=3), True),
    ],
)
def test_texts(tmp_path: Path, encoder: Any, unknown: bool, way: Way) -> None:
    model = encoder.fit(HOLES.reshape(-1, 1))
    answered(model, texts(*TEXTS, *[b"Atlantis"] * unknown), tmp_path, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=9),
    ],
)
def test_numbers_with_fractions_and_missing_ones(tmp_path: Path, encoder: Any, way: Way) -> None:
    model = encoder.fit(np.stack([PRICE, GRADE], axis=1))
    rows = np.array([[0.5, 1], [1.25, 5], [4, 2], [np.nan, 3], [0.7, 4], [0, 0], [-3, 77]], np.float32)
    answered(model, {"X": rows}, tmp_path, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(), OneHotEncoder(drop="first"), OneHotEncoder(max_categories=2), OrdinalEncoder()]
)
def test_what_the_source_refuses_is_refused(tmp_path: Path, encoder: Any, way: Way) -> None:
    """handle_unknown='error', which is the default: the client is told, by the package's own file too."""
    frame = pd.DataFrame({"city": CITY, "grade": GRADE})
    model = make_pipeline(ColumnTransformer([("c", encoder, ["city", "grade"])]), Ridge()).fit(frame, GRADE)
    rows = {"city": np.array([[t] for t in TEXTS[:4]], object), "grade": np.array([[1], [5], [2], [3]])}
    answered(model, rows, tmp_path, way)
    canonicalise(tmp_path / "m.onnx", tmp_path / "canonical.onnx")
    engine = open_model(tmp_path / "canonical.onnx")
    for column, value in (("city", b"Atlantis"), ("city", b""), ("grade", 77)):
        wrong = {**rows, column: rows[column].copy()}
        wrong[column][2] = value
        with pytest.raises(ValueError, match="Found unknown categories"):
            reference(model, layout_of(model, None), answers_of(model))(wrong)
        with pytest.raises(BadRequest, match=rf"^column '{column}' holds a category that the model was not trained on"):
            engine.run(wrong, ["variable"])


def test_columns_of_a_frame(tmp_path: Path) -> None:
    frame = pd.DataFrame({"city": HOLES, "grade": GRADE, "age": R.normal(50, 9, 200)})
    frame.loc[::7, "age"] = np.nan
    parts = ColumnTransformer([
        ("c", OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=3), ["city", "grade"]),
        ("f", make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder()), ["city"]),
        ("n", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["age"]),
    ])  # fmt: skip
    model = make_pipeline(parts, Ridge()).fit(frame, GRADE)
    rows = {
        "city": np.array([[t] for t in TEXTS], object),
        "grade": np.arange(1, 6).reshape(-1, 1),
        "age": np.array([[20], [np.nan], [60], [np.nan], [90]], np.float32),
    }
    answered(model, rows, tmp_path)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encode", ["onehot", "onehot-dense", "ordinal"])
def test_bins_on_both_sides_of_their_edges(tmp_path: Path, encode: str, way: Way) -> None:
    data = R.normal(size=(300, 2)) * [1, 1e4]
    model = KBinsDiscretizer([3, 5], encode=encode, quantile_method="averaged_inverted_cdf").fit(data)
    edges = [e.astype(np.float32) for e in model.bin_edges_]
    beside = [np.concatenate([np.nextafter(e, np.float32(d)) for d in (-np.inf, np.inf)] + [e]) for e in edges]
    rows = np.stack([np.resize(b, 18) for b in beside], axis=1)
    answered(model, {"X": rows}, tmp_path, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("indicator", [False, True])
@pytest.mark.parametrize("strategy", ["mean", "median", "constant"])
def test_imputers_of_numbers(tmp_path: Path, strategy: str, indicator: bool, way: Way) -> None:
    data = R.normal(size=(60, 4)).astype(np.float32)
    data[::3, 2] = np.nan
    model = SimpleImputer(strategy=strategy, add_indicator=indicator).fit(data)
    answered(model, {"X": data}, tmp_path, way)


@pytest.mark.parametrize("options", [{"strategy": "most_frequent"}, {"strategy": "constant", "fill_value": "none"}])
def test_imputers_of_texts_fill_empty_ones(tmp_path: Path, options: dict[str, str]) -> None:
    imputer = SimpleImputer(**options)
    model = make_pipeline(imputer, OrdinalEncoder()).fit(HOLES.reshape(-1, 1))
    answered(model, texts(*TEXTS), tmp_path)


def test_other_imputers_are_left_to_their_converter(tmp_path: Path) -> None:
    model = SimpleImputer(missing_values=-1.0, strategy="mean").fit(np.array([[-1.0], [3.0]]))
    answered(model, {"X": np.array([[-1], [5]], np.float32)}, tmp_path)


def test_an_encoder_that_forgets_the_unknown_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grouped = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2)
    model = make_pipeline(grouped, Ridge()).fit(CITY.reshape(-1, 1), GRADE)
    rows = np.array([["Oslo"], ["Rome"], ["Atlantis"]], object)
    source = Source("m", object=model, sample={"": rows})
    study = from_sklearn.study_of(model, source)
    assert from_sklearn.tried(WAYS[0], study, source, tmp_path)[1] == ""
    monkeypatch.setattr(sklearn_encoders, "_for_unknown", lambda encoder, at: -1)
    made, problem = from_sklearn.tried(WAYS[0], study, source, tmp_path)
    assert made is None and "in row 2 is over" in problem
