"""Converters put right: histogram boosting to the last float32, imputers in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_onnx import Way, to_onnx
from gantline.builders.thresholds import probes
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

R = np.random.default_rng(3)
X = R.normal(size=(400, 4))
Y = X[:, 0] * 2 + np.sin(X[:, 1] * 3)
FLOAT32, FLOAT64 = Way("float32"), Way("float64", wide=True)


@pytest.mark.parametrize("kind", ["regressor", "classifier", "scaled", "missing"])
def test_histogram_boosting_next_to_its_thresholds(tmp_path: Path, kind: str) -> None:
    data = X.copy()
    if kind == "missing":
        data[::5, 1] = np.nan
    if kind == "classifier":
        model = HistGradientBoostingClassifier(max_iter=12).fit(data, np.digitize(Y, [-1, 1]))
    else:
        model = HistGradientBoostingRegressor(max_iter=12).fit(data, Y)
    if kind == "scaled":
        model = make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=12)).fit(data, Y)
    layout = layout_of(model, None)
    base = lambda rows: {"X": data[:rows].astype(np.float32)}  # noqa: E731
    near = probes(model, layout, base, 2000)
    assert len(near["X"]) > 200
    to_onnx(model, layout, FLOAT64 if kind == "scaled" else FLOAT32, 2, tmp_path / "m.onnx")
    engine = open_model(tmp_path / "m.onnx")
    names = [t.name for t in engine.signature.outputs]
    wide = near["X"].astype(np.float64)
    got = engine.run(near, names)
    if kind == "classifier":
        assert got[0].tolist() == model.predict(wide).tolist()
        np.testing.assert_allclose(got[1], model.predict_proba(wide), atol=1e-6)
    else:
        np.testing.assert_allclose(got[0][:, 0], model.predict(wide), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", ["mean", "median", "constant"])
def test_imputers_in_float64(tmp_path: Path, strategy: str) -> None:
    data = X.copy()
    data[::3, 2] = np.nan
    model = SimpleImputer(strategy=strategy).fit(data)
    to_onnx(model, layout_of(model, None), FLOAT64, 1, tmp_path / "m.onnx")
    got = open_model(tmp_path / "m.onnx").run({"X": data.astype(np.float32)}, ["variable"])[0]
    np.testing.assert_allclose(got, model.transform(data.astype(np.float32).astype(float)), rtol=1e-6)


def test_other_imputers_are_left_to_their_converter(tmp_path: Path) -> None:
    model = SimpleImputer(missing_values=-1.0, strategy="mean").fit(np.array([[-1.0], [3.0]]))
    to_onnx(model, layout_of(model, None), FLOAT32, 1, tmp_path / "m.onnx")
    got = open_model(tmp_path / "m.onnx").run({"X": np.array([[-1], [5]], np.float32)}, ["variable"])[0]
    assert got.tolist() == [[3.0], [5.0]]
