"""Quantiles and calibration in ONNX: on, between and beyond the points of their curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders import from_sklearn, sklearn_curves
from gantline.builders.sklearn_answers import answers_of, reference
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_onnx import WAYS, Way, to_onnx
from gantline.builders.source import Source
from sklearn.calibration import CalibratedClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.svm import LinearSVC

from gantline.errors import Unsupported
from gantline.tensors import Array

R = np.random.default_rng(1)
X = np.round(R.normal(size=(200, 3)) * 4) / 4  # many rows share their values
Y = np.digitize(X[:, 0] + R.normal(size=200), [-0.7, 0.7])


def answered(model: Any, rows: Array, folder: Path, way: Way) -> None:
    """ONNX says on these rows what the source says."""
    layout, asked = layout_of(model, None), answers_of(model)
    to_onnx(model, layout, way, len(asked), folder / "m.onnx")
    engine = open_model(folder / "m.onnx")
    inputs = {"X": rows.astype(np.float32)}
    got = engine.run(inputs, [t.name for t in engine.signature.outputs])
    for a, b in zip(reference(model, layout, asked)(inputs), got, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_quantiles_that_are_shared(tmp_path: Path, way: Way) -> None:
    model = QuantileTransformer(n_quantiles=40).fit(X)
    assert (np.diff(model.quantiles_, axis=0) == 0).any()
    beyond = np.array([[-99, 0, 99], [0.1, np.nan, 0.2]])
    answered(model, np.concatenate([X, model.quantiles_, beyond]), tmp_path, way)


def test_the_normal_distribution_is_told(tmp_path: Path) -> None:
    model = QuantileTransformer(n_quantiles=9, output_distribution="normal").fit(X)
    with pytest.raises(Unsupported, match="no inverse of the normal distribution"):
        to_onnx(model, layout_of(model, None), WAYS[0], 1, tmp_path / "m.onnx")


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("inner", [LinearSVC(), GaussianNB(), make_pipeline(StandardScaler(), LinearSVC())])
def test_calibrated(tmp_path: Path, inner: Any, method: str, classes: int) -> None:
    model = CalibratedClassifierCV(inner, method=method, cv=2).fit(X, np.minimum(Y, classes - 1))
    answered(model, X, tmp_path, WAYS[1])


def test_a_curve_that_takes_the_nearest_point_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As skl2onnx's does."""
    model = CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=2).fit(X, Y)
    source = Source("m", object=model, sample={"X": X})
    study = from_sklearn.study_of(model, source)
    assert from_sklearn.tried(WAYS[1], study, source, tmp_path)[1] == ""
    sound = sklearn_curves._curve

    def stepped(graph: Any, given: str, kind: int, x: Array, y: Array, ends: Array) -> str:
        middle = np.repeat((x[1:] + x[:-1]) / 2, 2)
        return sound(graph, given, kind, np.concatenate([x[:1], middle, x[-1:]]), np.repeat(y, 2), ends)

    monkeypatch.setattr(sklearn_curves, "_curve", stepped)
    assert "output '" in from_sklearn.tried(WAYS[1], study, source, tmp_path)[1]
