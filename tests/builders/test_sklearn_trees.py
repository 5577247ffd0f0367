"""Trees in ONNX: next to their thresholds, with missing values, in float64, for several outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders.sklearn_answers import answers_of, reference
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_onnx import WAYS, Way, to_onnx
from gantline.builders.sklearn_trees import rounded_down
from gantline.builders.thresholds import probes
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from gantline.tensors import Array

R = np.random.default_rng(3)
X = R.normal(size=(200, 4))
HOLES = np.where(R.random((200, 4)) < 0.2, np.nan, X)
Y = np.digitize(X[:, 0] + X[:, 1] ** 2, [-0.5, 1])
NAMES = np.array(["low", "middle", "high"])[Y]
BOTH = np.stack([Y, Y > 0], axis=1)
FLOAT32 = WAYS[0]


def answers(model: Any, way: Way, rows: Array, folder: Path) -> tuple[list[Array], list[Array]]:
    """(what the source says, what ONNX says) on these rows."""
    layout, asked = layout_of(model, None), answers_of(model)
    to_onnx(model, layout, way, len(asked), folder / "m.onnx")
    engine = open_model(folder / "m.onnx")
    inputs = {"X": rows.astype(np.float32)}
    got = engine.run(inputs, [t.name for t in engine.signature.outputs])
    return reference(model, layout, asked)(inputs), got


def same(want: list[Array], got: list[Array]) -> None:
    for a, b in zip(want, got, strict=True):
        if a.dtype.kind == "f":
            np.testing.assert_allclose(b.reshape(a.shape), a, rtol=1e-4, atol=1e-6)
        else:
            assert b.astype(str).tolist() == a.astype(str).tolist()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(random_state=0).fit(X, NAMES),
        RandomForestClassifier(8, random_state=0).fit(X, Y),
        RandomForestClassifier(4, random_state=0).fit(X, BOTH),
        GradientBoostingClassifier(n_estimators=4, random_state=0).fit(X, Y),
        GradientBoostingClassifier(n_estimators=4, init="zero", random_state=0).fit(X, Y),
        GradientBoostingRegressor(n_estimators=4, random_state=0).fit(X, X[:, 0]),
        IsolationForest(n_estimators=10, max_features=0.5, random_state=0).fit(X),
    ],
    ids=lambda m: type(m).__name__,
)
def test_next_to_thresholds(tmp_path: Path, model: Any, way: Way) -> None:
    layout = layout_of(model, None)
    near = probes(model, layout, lambda rows: {"X": X[:rows].astype(np.float32)}, 600)["X"]
    assert len(near) > 20
    same(*answers(model, way, near, tmp_path))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(8, random_state=0).fit(HOLES, Y),  # some splits are between missing and known alone
        RandomForestRegressor(8, random_state=0).fit(X, Y),  # met no missing value, and takes them all the same
        ExtraTreesClassifier(8, random_state=0).fit(HOLES, BOTH),
        IsolationForest(n_estimators=8, random_state=0).fit(HOLES),
    ],
    ids=lambda m: type(m).__name__,
)
def test_missing_values_go_where_each_split_sends_them(tmp_path: Path, model: Any, way: Way) -> None:
    same(*answers(model, way, HOLES, tmp_path))


def test_a_scaler_of_times_before_trees(tmp_path: Path) -> None:
    rows = X + np.array([1000.0, 0, 0, 0])
    model = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=4, random_state=0)).fit(rows, Y)
    same(*answers(model, WAYS[1], rows, tmp_path))


def test_an_isolation_forest_is_one_ensemble(tmp_path: Path) -> None:
    model = IsolationForest(n_estimators=30, random_state=0).fit(X)
    to_onnx(model, layout_of(model, None), FLOAT32, 2, tmp_path / "m.onnx")
    kinds = [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node]
    assert kinds.count("TreeEnsembleRegressor") == 1 and len(kinds) < 10


def test_thresholds_are_rounded_down() -> None:
    exact = np.array([0.1, -0.1, 1 / 3, 2.0, 1e-40])
    down = rounded_down(exact)
    assert down.dtype == np.float32
    assert (down.astype(np.float64) <= exact).all()
    assert (np.nextafter(down, np.float32(np.inf)).astype(np.float64) > exact).all()
    assert rounded_down(np.array([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]
