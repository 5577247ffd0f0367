"""LightGBM's models as packages, in the environment that has it (see test_boosters_environment)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.builders import booster_converter, forest_onnx, from_lightgbm, lightgbm_forest, sklearn_encoders
from gantline.builders.source import Source, converter_for

from gantline.errors import BadArtefact, Unsupported
from gantline.packages import Package
from gantline.tensors import Array, to_bytes_array

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM has an environment of its own")
pd = pytest.importorskip("pandas")

Packager = Callable[..., Package]
R = np.random.default_rng(0)
X = R.normal(size=(400, 4)).astype(np.float32).astype(np.float64)
X[R.random(X.shape) < 0.1] = np.nan
Z = np.nan_to_num(X)
SUM = Z[:, 0] * 3 + np.sin(Z[:, 1] * 4) + (Z[:, 2] > 0)
POSITIVE = np.exp(SUM / 3)
CLASSES = np.array(["low", "middle", "high"])[np.digitize(SUM, [-1.0, 1.5])]
CODES = np.column_stack([R.normal(size=400), R.integers(0, 12, 400), R.integers(0, 40, 400)])
BY_CODE = np.sin(CODES[:, 1] * 1.7) + CODES[:, 0] * 0.3 + (CODES[:, 2] % 7 == 3)
BINNED = np.digitize(SUM, [-1.0, 1.5])
FRAME = pd.DataFrame({
    "age": R.normal(size=400).astype(np.float32),
    "city": pd.Categorical(np.array(["Bern", "Oslo", "Rome", "Zürich"])[CODES[:, 1].astype(int) % 4]),
    "shop": pd.Categorical(np.array([101, 205, 309])[CODES[:, 2].astype(int) % 3]),
})  # fmt: skip
BY_NAME = (FRAME.city == "Oslo") * 2.0 + (FRAME.shop == 205) + FRAME.age * 0.3


def answer(package: Package, rows: Array) -> dict[str, Array]:
    session = Session.open(package)
    try:
        return dict(zip(session.output_names, session.run({"X": rows.astype(np.float32)}), strict=True))
    finally:
        session.close()


def regressor(target: Array = SUM, rows: Array = X, **options: Any) -> Any:
    return lightgbm.LGBMRegressor(n_estimators=15, verbose=-1, **options).fit(rows, target)


def booster(objective: str, target: Array, **options: Any) -> Any:
    return lightgbm.train({"objective": objective, "verbose": -1, **options}, lightgbm.Dataset(X, target), 15)


def early() -> Any:
    model = lightgbm.LGBMRegressor(n_estimators=300, learning_rate=0.5, verbose=-1)
    stop = lightgbm.early_stopping(3, verbose=False)
    return model.fit(X[:300], SUM[:300], eval_X=(X[300:],), eval_y=(SUM[300:],), callbacks=[stop])


NUMBERS: dict[str, Callable[[], Any]] = {
    "squared error": regressor,
    "dart": lambda: regressor(boosting_type="dart"),
    "random forest": lambda: regressor(boosting_type="rf", subsample=0.6, subsample_freq=1),
    "zero is missing": lambda: regressor(rows=Z, zero_as_missing=True),
    "nothing is missing": lambda: regressor(use_missing=False),
    "nothing was missing": lambda: regressor(rows=Z),
    "poisson": lambda: regressor(POSITIVE, objective="poisson"),
    "tweedie": lambda: regressor(POSITIVE, objective="tweedie"),
    "quantile": lambda: regressor(objective="quantile", alpha=0.9),
    "of the root": lambda: regressor(reg_sqrt=True),
    "ranking": lambda: lightgbm.LGBMRanker(n_estimators=15, verbose=-1).fit(X, BINNED, group=[20] * 20),
    "stopped early": early,
    "multiclass": lambda: booster("multiclass", BINNED, num_class=3),
    "binary": lambda: booster("binary", SUM > 0, sigmoid=2.0),
    "cross entropy": lambda: booster("cross_entropy", (SUM > 0) * 0.5),
    "cross entropy lambda": lambda: booster("cross_entropy_lambda", (SUM > 0) * 0.5),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers(packaged: Packager, case: str) -> None:
    model = NUMBERS[case]()
    package = packaged(model)
    manifest, parity = package.manifest, package.manifest.parity
    assert manifest.engine == "onnx" and manifest.source is not None and parity is not None
    assert (manifest.source.framework, manifest.source.type) == ("lightgbm", type(model).__name__)
    assert manifest.source.versions["lightgbm"] == lightgbm.__version__
    assert parity.near_threshold_probes > 20 and parity.max_rel_error < 1e-5
    rows = np.vstack([X, np.diag([1e-36, -1e-36, 1e-35, -1e-35])])
    got = answer(package, rows)["variable"]
    want = model.predict(rows.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(got, want.reshape(len(rows), -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova", "binary"])
def test_labels(packaged: Packager, objective: str) -> None:
    target = np.where(SUM > 0, "yes", "no") if objective == "binary" else CLASSES
    model = lightgbm.LGBMClassifier(n_estimators=15, objective=objective, verbose=-1).fit(X, target)
    package = packaged(model, sample=X)
    assert package.manifest.engine == "onnx" and package.manifest.signature is not None
    assert package.manifest.signature.outputs[1].labels == tuple(model.classes_)
    got = answer(package, X)
    assert (to_bytes_array(got["label"]) == to_bytes_array(model.predict(X))).all()
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(X), atol=1e-5)


def test_categories(packaged: Packager) -> None:
    model = lightgbm.LGBMRegressor(n_estimators=20, verbose=-1).fit(CODES, BY_CODE, categorical_feature=[1, 2])
    package = packaged(model)
    assert package.manifest.engine == "onnx" and "columns 1, 2 take codes of categories" in package.manifest.notes[0]
    rows = np.vstack([CODES, [[0.1, np.nan, 3], [0.1, 77, 3], [0.1, 3.7, -0.5], [np.nan, -2, 50]]])
    rows = rows.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(answer(package, rows)["variable"][:, 0], model.predict(rows), atol=1e-5)


def named(**options: Any) -> Any:
    """A model that was trained on words, and on numbers that are names."""
    return lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, min_child_samples=5, **options).fit(FRAME, BY_NAME)


def by_name(frame: Any) -> dict[str, Array]:
    shop = frame.shop.astype(np.float64).to_numpy(np.float32).reshape(-1, 1)
    city = to_bytes_array(frame.city.astype(object).fillna("").to_numpy(object)).reshape(-1, 1)
    return {"age": frame.age.to_numpy(np.float32).reshape(-1, 1), "city": city, "shop": shop}


def run(package: Package, inputs: dict[str, Array]) -> Array:
    session = Session.open(package)
    try:
        return session.run(inputs)[-1]
    finally:
        session.close()


@pytest.mark.parametrize("source", ["memory", "file"])
def test_categories_by_name(packaged: Packager, tmp_path: Path, source: str) -> None:
    model = named()
    model.booster_.save_model(tmp_path / "m.txt")
    package = packaged(model if source == "memory" else tmp_path / "m.txt", sample=FRAME)
    manifest = package.manifest
    assert manifest.engine == "onnx" and not manifest.notes and manifest.signature is not None
    assert [(t.name, t.datatype) for t in manifest.signature.inputs] == [
        ("age", "FP32"), ("city", "BYTES"), ("shop", "FP32"),
    ]  # fmt: skip
    strange = FRAME.astype({"city": object, "shop": object}).copy()
    strange.iloc[:5, 1:] = [["Atlantis", 7], [None, None], ["Bern", None], [None, 205], ["Oslo", 101]]
    want = model.predict(strange.astype({"city": "category", "shop": "category"}))
    np.testing.assert_allclose(run(package, by_name(strange))[:, 0], want, atol=1e-5)
    assert packaged(model, "synthetic").manifest.engine == "onnx"


def test_categories_by_name_behind_a_script(packaged: Packager, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*args: Any) -> Any:
        raise Unsupported("it is written in invisible ink")

    monkeypatch.setattr(lightgbm_forest, "read", unreadable)
    model = named()
    package = packaged(model, sample=FRAME, env="current")
    assert package.manifest.engine == "script" and "invisible ink" in package.manifest.engine_reason
    np.testing.assert_allclose(run(package, by_name(FRAME))[:, 0], model.predict(FRAME), atol=1e-5)


def test_codes_that_are_off_by_one_are_caught(packaged: Packager, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sklearn_encoders.place_of

    def place_of(graph: Any, name: str, kind: int, known: Array, places: Array, unknown: int) -> str:
        return real(graph, name, kind, known, np.roll(places, 1), unknown)

    monkeypatch.setattr(booster_converter, "place_of", place_of)
    manifest = packaged(named(), sample=FRAME, env="current").manifest
    assert manifest.engine == "script" and "output 'variable': relative error" in manifest.engine_reason


def test_an_ordered_category_leaves_codes_in_doubt(packaged: Packager) -> None:
    """LightGBM's file does not say which of its lists is whose then."""
    ordered = FRAME.assign(size=pd.Categorical(R.choice(["S", "M"], 400), ["S", "M"], ordered=True))
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(ordered, BY_NAME)
    manifest = packaged(model).manifest
    assert manifest.signature is not None and [t.name for t in manifest.signature.inputs] == ["X"]
    assert "columns 'city', 'shop' take codes of categories" in manifest.notes[0]


def damaged(text: str, line: str, change: Callable[[list[str]], list[str]]) -> str:
    """The model's text with a change to the numbers of the first line of that name."""
    start = text.index(f"\n{line}=") + len(line) + 2
    end = text.index("\n", start)
    return text[:start] + " ".join(change(text[start:end].split())) + text[end:]


DAMAGES: dict[str, Callable[[str], str]] = {
    "a child far away": lambda t: damaged(t, "left_child", lambda v: ["30000", *v[1:]]),
    "a circle": lambda t: damaged(t, "left_child", lambda v: ["0", *v[1:]]),
    "a feature far away": lambda t: damaged(t, "split_feature", lambda v: ["2000000", *v[1:]]),
    "too few thresholds": lambda t: damaged(t, "threshold", lambda v: v[:1]),
    "too many leaves": lambda t: t.replace("num_leaves=", "num_leaves=9", 1),
    "cut off": lambda t: t[: len(t) // 3],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_ends_nothing_but_its_trial(tmp_path: Path, damage: str) -> None:
    whole = booster("multiclass", BINNED, num_class=3).model_to_string()
    path = tmp_path / "m.txt"
    path.write_text(DAMAGES[damage](whole))
    source = Source("m", path=path)
    with pytest.raises(BadArtefact, match=r"m\.txt: ") as caught:
        converter_for(source).convert(source, tmp_path)
    assert "\n" not in caught.value.message


def test_a_file(packaged: Packager, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcd"))
    model = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(frame, CLASSES)
    model.booster_.save_model(tmp_path / "m.txt")
    package = packaged(tmp_path / "m.txt", sample=frame[["d", "c", "b", "a"]])
    assert package.manifest.source is not None and package.manifest.source.type == "Booster"
    np.testing.assert_allclose(answer(package, X)["variable"], model.predict_proba(frame), atol=1e-5)


def test_columns_that_lightgbm_calls_otherwise(packaged: Packager) -> None:
    frame = pd.DataFrame(X, columns=["home city", "age", "b c", "d"])
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(frame, SUM)
    package = packaged(model, sample=frame)
    assert package.manifest.engine == "onnx" and package.manifest.parity is not None
    np.testing.assert_allclose(answer(package, X)["variable"][:, 0], model.predict(frame), atol=1e-5)


def test_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    path.write_text("tree\nnothing more\n")
    source = Source("m", path=path)
    with pytest.raises(BadArtefact, match=r"m.txt: expected a LightGBM model, found"):
        converter_for(source).convert(source, tmp_path)
    path.write_text("a text\n")
    assert not from_lightgbm.recognises(source)


def test_not_fitted(packaged: Packager) -> None:
    with pytest.raises(BadArtefact, match="the LGBMRegressor is not fitted"):
        packaged(lightgbm.LGBMRegressor())


def test_linear_trees_go_behind_a_script(packaged: Packager) -> None:
    model = regressor(linear_tree=True)
    package = packaged(model, env="current")
    assert package.manifest.engine == "script"
    assert package.manifest.engine_reason == "no faithful ONNX: LightGBM's linear trees are not known here"
    np.testing.assert_allclose(answer(package, Z)["variable"][:, 0], model.predict(Z), rtol=1e-5, atol=1e-5)


def test_thresholds_that_float32_cannot_hold(packaged: Packager) -> None:
    """Rounded to the nearest, some of them would part other numbers: the twin of the converter that does so."""
    rows = np.linspace(0, 1, 200).reshape(-1, 1)
    model = lightgbm.LGBMRegressor(n_estimators=15, verbose=-1, min_child_samples=1).fit(rows, np.sin(40 * rows[:, 0]))
    exact = packaged(model)
    assert exact.manifest.engine == "onnx" and not exact.manifest.notes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest_onnx, "rounded", lambda thresholds, strict: thresholds.astype(np.float32))
        notes = packaged(model, "twin").manifest.notes
    assert notes and "near-threshold rows" in notes[0]


def test_inside_a_pipeline(packaged: Packager) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(n_estimators=10, verbose=-1)).fit(X, CLASSES)
    package = packaged(model)
    assert package.manifest.engine == "onnx" and package.manifest.source is not None
    assert package.manifest.source.versions["lightgbm"] == lightgbm.__version__
    np.testing.assert_allclose(answer(package, X)["probabilities"], model.predict_proba(X), atol=1e-5)


def test_pickled(packaged: Packager, tmp_path: Path) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(Z, CLASSES)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    package = packaged(tmp_path / "m.pkl", trust_pickle=True, env="current")
    source = package.manifest.source
    assert source is not None and (source.framework, source.type) == ("lightgbm", type(model).__name__)
    assert package.manifest.engine == "onnx" and "unpickled with" in package.manifest.notes[-1]
    np.testing.assert_allclose(answer(package, X)["probabilities"], model.predict_proba(X), atol=1e-5)
