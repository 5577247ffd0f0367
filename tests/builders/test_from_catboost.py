"""CatBoost's models as packages, in the environment that has it (see test_boosters_environment)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.builders import catboost_forest
from gantline.builders.source import Source, converter_for

from gantline.errors import BadArtefact
from gantline.packages import Package
from gantline.tensors import Array, to_bytes_array

catboost = pytest.importorskip("catboost", reason="CatBoost has an environment of its own")

Packager = Callable[..., Package]
QUIET = {"iterations": 15, "verbose": 0, "allow_writing_files": False}
R = np.random.default_rng(0)
X = R.normal(size=(400, 4)).astype(np.float32)
X[R.random(X.shape) < 0.1] = np.nan
Z = np.nan_to_num(X)
SUM = Z[:, 0] * 3 + np.sin(Z[:, 1] * 4) + (Z[:, 2] > 0)
CLASSES = np.array(["low", "middle", "high"])[np.digitize(SUM, [-1.0, 1.5])]


def answer(package: Package, inputs: dict[str, Array]) -> dict[str, Array]:
    session = Session.open(package)
    try:
        return dict(zip(session.output_names, session.run(inputs), strict=True))
    finally:
        session.close()


def regressor(target: Array = SUM, **options: Any) -> Any:
    return catboost.CatBoostRegressor(**{**QUIET, **options}).fit(X, target)


NUMBERS: dict[str, Callable[[], Any]] = {
    "squared error": regressor,
    "missing is large": lambda: regressor(nan_mode="Max"),
    "grown by leaves": lambda: regressor(grow_policy="Lossguide"),
    "grown by levels": lambda: regressor(grow_policy="Depthwise"),
    "poisson": lambda: regressor(np.exp(SUM / 3), loss_function="Poisson"),
    "several targets": lambda: regressor(np.column_stack([SUM, -SUM]), loss_function="MultiRMSE"),
    "the plain class": lambda: catboost.CatBoost({**QUIET, "loss_function": "RMSE"}).fit(X, SUM),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers(packaged: Packager, case: str) -> None:
    model = NUMBERS[case]()
    package = packaged(model)
    manifest, parity = package.manifest, package.manifest.parity
    assert manifest.engine == "onnx" and manifest.source is not None and parity is not None
    assert (manifest.source.framework, manifest.source.type) == ("catboost", type(model).__name__)
    assert manifest.source.versions["catboost"] == catboost.__version__
    assert parity.near_threshold_probes > 200 and parity.max_rel_error < 1e-5
    want = model.predict(X).reshape(len(X), -1)
    np.testing.assert_allclose(answer(package, {"X": X})["variable"], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["Logloss", "MultiClass", "MultiClassOneVsAll"])
def test_labels(packaged: Packager, loss: str, tmp_path: Path) -> None:
    target = np.where(SUM > 0, "yes", "no") if loss == "Logloss" else CLASSES
    model = catboost.CatBoostClassifier(**QUIET, loss_function=loss).fit(X, target)
    package = packaged(model, sample=X)
    assert package.manifest.engine == "onnx" and package.manifest.signature is not None
    assert package.manifest.signature.outputs[1].labels == tuple(model.classes_)
    got = answer(package, {"X": X})
    assert (to_bytes_array(got["label"]) == to_bytes_array(model.predict(X).reshape(-1))).all()
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(X), atol=1e-5)
    model.save_model(str(tmp_path / "m.cbm"))
    again = packaged(tmp_path / "m.cbm", "again", sample=X)
    assert again.model_path.read_bytes() == package.model_path.read_bytes()


def test_its_own_onnx(packaged: Packager, tmp_path: Path) -> None:
    model = catboost.CatBoostClassifier(**QUIET).fit(X, CLASSES)
    model.save_model(str(tmp_path / "m.onnx"), format="onnx")
    got = answer(packaged(tmp_path / "m.onnx"), {"features": Z})
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(Z), atol=1e-5)


def test_categories_go_behind_a_script(packaged: Packager, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(Z, columns=list("abcd")).assign(city=R.choice(["Oslo", "Zürich"], len(Z)))
    target = np.where(frame.city == "Oslo", "cold", CLASSES)
    catboost.CatBoostClassifier(**QUIET).fit(frame, target, cat_features=["city"]).save_model(str(tmp_path / "m.cbm"))
    package = packaged(tmp_path / "m.cbm", sample=frame, env="current")
    signature = package.manifest.signature
    assert package.manifest.engine == "script" and "from categorical features" in package.manifest.engine_reason
    assert signature is not None and [t.datatype for t in signature.inputs] == ["FP32"] * 4 + ["BYTES"]
    model = catboost.CatBoostClassifier().load_model(str(tmp_path / "m.cbm"))
    inputs = {name: Z[:, [at]] for at, name in enumerate("abcd")}
    got = answer(package, {**inputs, "city": to_bytes_array(frame.city.to_numpy(object)).reshape(-1, 1)})
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(frame), atol=1e-6)


@pytest.mark.parametrize("content", [b"nothing", b"CBM1 and nothing more"])
def test_what_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.cbm"
    path.write_bytes(content)
    source = Source("m", path=path)
    with pytest.raises(BadArtefact, match=r"m.cbm: expected a CatBoost model, found"):
        converter_for(source).convert(source, tmp_path)


def test_not_fitted(packaged: Packager) -> None:
    with pytest.raises(BadArtefact, match="the CatBoostRegressor is not fitted"):
        packaged(catboost.CatBoostRegressor())


def test_a_broken_converter_is_caught(packaged: Packager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Borders one float32 too high, in every way to ONNX."""
    real = catboost_forest.read

    def read(*args: Any) -> Any:
        forest = real(*args)
        for tree in forest.trees:
            tree.threshold[:] = np.nextafter(tree.threshold.astype(np.float32), np.float32(np.inf))
        return forest

    model = regressor()
    assert packaged(model, "sound", sample=R.normal(size=(64, 4))).manifest.engine == "onnx"
    monkeypatch.setattr(catboost_forest, "read", read)
    broken = packaged(model, sample=R.normal(size=(64, 4)), env="current").manifest
    assert broken.engine == "script" and "near-threshold rows" in broken.engine_reason


def test_inside_a_pipeline(packaged: Packager) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = X.astype(np.float64)
    model = make_pipeline(StandardScaler(), catboost.CatBoostClassifier(**QUIET)).fit(rows, CLASSES)
    package = packaged(model)
    assert package.manifest.engine == "onnx" and package.manifest.source is not None
    assert package.manifest.source.versions["catboost"] == catboost.__version__
    np.testing.assert_allclose(answer(package, {"X": X})["probabilities"], model.predict_proba(rows), atol=1e-5)


def test_pickled(packaged: Packager, tmp_path: Path) -> None:
    model = catboost.CatBoostClassifier(**QUIET).fit(Z, CLASSES)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    package = packaged(tmp_path / "m.pkl", trust_pickle=True, env="current")
    source = package.manifest.source
    assert source is not None and (source.framework, source.type) == ("catboost", type(model).__name__)
    assert package.manifest.engine == "onnx" and "unpickled with" in package.manifest.notes[-1]
    np.testing.assert_allclose(answer(package, {"X": X})["probabilities"], model.predict_proba(X), atol=1e-5)
