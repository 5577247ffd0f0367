"""skl2onnx by several ways: precision inside, the same doors outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_onnx import WAYS, Way, reshape_outputs, to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from gantline.errors import Unsupported

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
F = X.astype(np.float32)


def made(model: object, tmp_path: Path, way: Way = Way("float32"), outputs: int = 2) -> Path:  # noqa: B008
    to_onnx(model, layout_of(model, None), way, outputs, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("way", WAYS)
def test_doors_are_single_whatever_is_inside(tmp_path: Path, way: Way) -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(X, Y)
    engine = open_model(made(model, tmp_path, way))
    signature = engine.signature
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("X", "FP32", (-1, 3))]
    assert [(t.name, t.datatype) for t in signature.outputs] == [("label", "INT64"), ("probabilities", "FP32")]
    label, probabilities = engine.run({"X": F}, ["label", "probabilities"])
    assert label.tolist() == model.predict(F).tolist()
    np.testing.assert_allclose(probabilities, model.predict_proba(F.astype(float)), atol=1e-6)


@pytest.mark.parametrize("model", [LinearSVC(), SVC()])
def test_scores_without_probabilities(tmp_path: Path, model: LinearSVC) -> None:
    engine = open_model(made(model.fit(X, Y), tmp_path))
    scores = engine.run({"X": F}, ["probabilities"])[0]
    np.testing.assert_allclose(scores[:, 1], model.decision_function(X), atol=1e-4)
    np.testing.assert_allclose(scores[:, 0], -scores[:, 1], atol=1e-6)


def test_outputs_that_the_estimator_has_not_are_cut(tmp_path: Path) -> None:
    vote = VotingClassifier([("a", LogisticRegression()), ("b", LogisticRegression(C=3))]).fit(X, Y)
    assert not hasattr(vote, "predict_proba")
    assert [t.name for t in open_model(made(vote, tmp_path, outputs=1)).signature.outputs] == ["label"]


def test_no_converter_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"^skl2onnx has no converter for SplineTransformer$"):
        made(SplineTransformer().fit(X), tmp_path)


def test_outputs_are_given_another_shape(tmp_path: Path) -> None:
    path = made(Ridge().fit(X, Y), tmp_path, outputs=1)
    assert open_model(path).signature.outputs[0].shape == (-1, 1)
    want = open_model(path).run({"X": F}, ["variable"])[0]
    reshape_outputs(path, {"variable": ()})
    engine = open_model(path)
    assert engine.signature.outputs[0].shape == (-1,)
    assert np.array_equal(engine.run({"X": F}, ["variable"])[0], want[:, 0])
    onnx.checker.check_model(onnx.load(path))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("number", "text"),
    [("hours-per-week", "marital-status"), ("sepal length (cm)", "1st"), ("home_city", "home city"), ("Größe", " a.b")],
)
def test_columns_keep_their_names_whatever_is_in_them(tmp_path: Path, number: str, text: str, way: Way) -> None:
    """skl2onnx writes letters, digits and underscores alone, and calls the second home_city home_city1."""
    frame = pd.DataFrame({number: [1.0, 2, 3, 4], text: ["a", "b", "a", "b"]})
    parts = ColumnTransformer([("n", StandardScaler(), [number]), ("t", OneHotEncoder(), [text])])
    model = make_pipeline(parts, Ridge()).fit(frame, [1, 2, 3, 5])
    to_onnx(model, layout_of(model, None), way, 1, tmp_path / "m.onnx")
    engine = open_model(tmp_path / "m.onnx")
    assert [(t.name, t.datatype) for t in engine.signature.inputs] == [(number, "FP32"), (text, "BYTES")]
    given = {number: frame[[number]].to_numpy(np.float32), text: np.array([[b"a"], [b"b"]] * 2, object)}
    np.testing.assert_allclose(engine.run(given, ["variable"])[0][:, 0], model.predict(frame), rtol=1e-5)


def test_a_column_that_is_called_as_an_output_is(tmp_path: Path) -> None:
    frame = pd.DataFrame({"label": ["a", "b", "a", "b"], "n": [1.0, 2, 3, 4]})
    parts = ColumnTransformer([("n", StandardScaler(), ["n"]), ("t", OneHotEncoder(), ["label"])])
    model = make_pipeline(parts, LogisticRegression()).fit(frame, [0, 1, 1, 0])
    with pytest.raises(Unsupported, match="a column is called 'label', as an output is"):
        to_onnx(model, layout_of(model, None), WAYS[0], 2, tmp_path / "m.onnx")
