"""Converters put right: histogram boosting to the last float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_onnx import Way, to_onnx
from gantline.builders.thresholds import probes
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gantline.errors import Unsupported

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


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_after_a_logarithmic_loss_comes_the_exponential(tmp_path: Path, loss: str) -> None:
    target = np.exp(Y / 2)
    model = HistGradientBoostingRegressor(loss=loss, max_iter=8).fit(X, target)
    for way in (FLOAT32, FLOAT64):
        to_onnx(model, layout_of(model, None), way, 1, tmp_path / "m.onnx")
        rows = X.astype(np.float32)
        got = open_model(tmp_path / "m.onnx").run({"X": rows}, ["variable"])[0]
        np.testing.assert_allclose(got[:, 0], model.predict(rows.astype(float)), rtol=1e-5)


def test_sets_of_categories_are_told(tmp_path: Path) -> None:
    kinds = np.random.default_rng(0).integers(0, 6, (400, 1)).astype(float)
    model = HistGradientBoostingRegressor(max_iter=3, categorical_features=[0]).fit(kinds, Y)
    with pytest.raises(Unsupported, match=r"^histogram boosting splits by sets of categories"):
        to_onnx(model, layout_of(model, None), FLOAT32, 1, tmp_path / "m.onnx")
