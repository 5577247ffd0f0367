"""XGBoost's models as packages, in the environment that has it (see test_boosters_environment)."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.builders import forest_onnx, from_xgboost, xgboost_forest
from gantline.builders.source import Source, converter_for

from gantline.errors import BadArtefact, BadRequest, Unsupported
from gantline.packages import Package
from gantline.tensors import Array

xgboost = pytest.importorskip("xgboost", reason="XGBoost has an environment of its own")

Packager = Callable[..., Package]
R = np.random.default_rng(0)
X = R.normal(size=(400, 4)).astype(np.float32)
X[R.random(X.shape) < 0.1] = np.nan
Z = np.nan_to_num(X)
SUM = Z[:, 0] * 3 + np.sin(Z[:, 1] * 4) + (Z[:, 2] > 0)
CLASSES = np.digitize(SUM, [-1.0, 1.5])
FRESH = R.normal(size=(64, 4))
CODES = np.column_stack([R.normal(size=400), R.integers(0, 12, 400), R.integers(0, 40, 400)])
BY_CODE = np.sin(CODES[:, 1] * 1.7) + CODES[:, 0] * 0.3 + (CODES[:, 2] % 7 == 3)


def answer(package: Package, rows: Array) -> dict[str, Array]:
    session = Session.open(package)
    try:
        return dict(zip(session.output_names, session.run({"X": rows.astype(np.float32)}), strict=True))
    finally:
        session.close()


def regressor(target: Array = SUM, **options: Any) -> Any:
    return xgboost.XGBRegressor(n_estimators=15, **options).fit(X, target)


def booster(objective: str, target: Array, **options: Any) -> Any:
    return xgboost.train({"objective": objective, **options}, xgboost.DMatrix(X, target), 15)


def early() -> Any:
    model = xgboost.XGBRegressor(n_estimators=300, early_stopping_rounds=3, learning_rate=0.5)
    return model.fit(X[:300], SUM[:300], eval_set=[(X[300:], SUM[300:])], verbose=False)


NUMBERS: dict[str, Callable[[], Any]] = {
    "squared error": regressor,
    "base score": lambda: regressor(base_score=17.25),
    "dart": lambda: regressor(booster="dart", rate_drop=0.3),
    "random forest": lambda: xgboost.XGBRFRegressor(n_estimators=15).fit(X, SUM),
    "poisson": lambda: regressor(np.exp(SUM / 3), objective="count:poisson"),
    "gamma": lambda: regressor(np.exp(SUM / 3), objective="reg:gamma"),
    "tweedie": lambda: regressor(np.exp(SUM / 3), objective="reg:tweedie"),
    "logistic": lambda: regressor((SUM > 0) * 0.5, objective="reg:logistic"),
    "quantiles": lambda: regressor(objective="reg:quantileerror", quantile_alpha=[0.1, 0.9]),
    "several targets": lambda: regressor(np.column_stack([SUM, -SUM])),
    "a number for missing": lambda: xgboost.XGBRegressor(n_estimators=15, missing=-9.0).fit(
        np.where(np.isnan(X), -9, X), SUM
    ),
    "ranking": lambda: xgboost.XGBRanker(n_estimators=15).fit(X, CLASSES, qid=np.arange(400) // 20),
    "stopped early": early,
    "softprob": lambda: booster("multi:softprob", CLASSES, num_class=3),
    "softmax": lambda: booster("multi:softmax", CLASSES, num_class=3),
    "hinge": lambda: booster("binary:hinge", SUM > 0),
    "raw": lambda: booster("binary:logitraw", SUM > 0),
    "cox": lambda: booster("survival:cox", np.exp(SUM / 3)),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers(packaged: Packager, case: str) -> None:
    model = NUMBERS[case]()
    package = packaged(model)
    manifest, parity = package.manifest, package.manifest.parity
    assert manifest.engine == "onnx" and manifest.source is not None and parity is not None
    assert (manifest.source.framework, manifest.source.type) == ("xgboost", type(model).__name__)
    assert manifest.source.versions["xgboost-cpu"] == xgboost.__version__
    assert parity.near_threshold_probes > 20 and parity.max_rel_error < 1e-5 and not manifest.notes
    want = model.predict(xgboost.DMatrix(X)) if isinstance(model, xgboost.Booster) else model.predict(X)
    got = answer(package, X)["variable"]
    np.testing.assert_allclose(got, want.reshape(len(X), -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "target", [SUM > 0, CLASSES, np.column_stack([SUM > 0, SUM > 1])], ids=["two", "three", "each"]
)
def test_labels(packaged: Packager, target: Array) -> None:
    model = xgboost.XGBClassifier(n_estimators=15).fit(X, target.astype(int))
    package = packaged(model, sample=X)
    assert package.manifest.engine == "onnx" and package.manifest.signature is not None
    got = answer(package, X)
    np.testing.assert_array_equal(got["label"], model.predict(X))
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(X), atol=1e-5)
    if target.ndim == 1:
        assert package.manifest.signature.outputs[1].labels == tuple(map(str, model.classes_))


@pytest.mark.parametrize("one_hot", [4, 100])
def test_categories(packaged: Packager, one_hot: int) -> None:
    kinds = {"enable_categorical": True, "feature_types": ["q", "c", "c"], "max_cat_to_onehot": one_hot}
    model = xgboost.XGBRegressor(n_estimators=20, **kinds).fit(CODES, BY_CODE)
    package = packaged(model)
    assert package.manifest.engine == "onnx"
    assert package.manifest.notes == (
        "columns 1, 2 take codes of categories, as the model was trained on, not their names",
    )
    rows = np.vstack([CODES, [[0.1, np.nan, 3], [0.1, 77, 3], [0.1, 3.7, -0.5], [np.nan, -2, 50]]])
    data = xgboost.DMatrix(rows.astype(np.float32), feature_types=["q", "c", "c"], enable_categorical=True)
    want = model.get_booster().predict(data)
    np.testing.assert_allclose(answer(package, rows)["variable"][:, 0], want, atol=1e-5)


def frame(shop: Any = (101, 205, 309)) -> Any:
    import pandas as pd

    cities = np.array(["Bern", "Oslo", "Rome", "Vienna"])
    return pd.DataFrame({
        "age": CODES[:, 0].astype(np.float32),
        "city": pd.Categorical(cities[CODES[:, 1].astype(int) % 4], categories=["Rome", "Oslo", "Bern", "Vienna"]),
        "shop": pd.Categorical(np.array(shop)[CODES[:, 2].astype(int) % 3]),
    })  # fmt: skip


def by_name(rows: Any) -> dict[str, Array]:
    shop = rows.shop.astype(np.float64).to_numpy(np.float32).reshape(-1, 1)
    city = np.array([[str(c).encode()] for c in rows.city.astype(object).fillna("")], object)
    return {"age": rows.age.to_numpy(np.float32).reshape(-1, 1), "city": city, "shop": shop}


def run(package: Package, inputs: dict[str, Array]) -> Array:
    session = Session.open(package)
    try:
        return session.run(inputs)[-1]
    finally:
        session.close()


@pytest.mark.parametrize("kind", ["classifier", "regressor", "file", "booster"])
def test_categories_by_name(packaged: Packager, tmp_path: Path, kind: str) -> None:
    rows = frame()
    target = (rows.city == "Oslo") * 2.0 + (rows.shop == 205) + rows.age * 0.3
    made = xgboost.XGBClassifier if kind == "classifier" else xgboost.XGBRegressor
    model = made(n_estimators=10, enable_categorical=True).fit(rows, target > 1 if kind == "classifier" else target)
    model.save_model(tmp_path / "m.json")
    booster = model.get_booster()
    package = packaged({"file": tmp_path / "m.json", "booster": booster}.get(kind, model), sample=rows)
    manifest = package.manifest
    assert manifest.engine == "onnx" and not manifest.notes and manifest.signature is not None
    assert [(t.name, t.datatype) for t in manifest.signature.inputs] == [
        ("age", "FP32"), ("city", "BYTES"), ("shop", "FP32"),
    ]  # fmt: skip
    rows.loc[:9, "city"] = rows.loc[5:20, "shop"] = np.nan
    want = model.predict_proba(rows) if kind == "classifier" else model.predict(rows).reshape(-1, 1)
    np.testing.assert_allclose(run(package, by_name(rows)), want, atol=1e-5)
    for column, unknown in (("city", b"Atlantis"), ("city", b"Zz"), ("shop", 7), ("shop", 101.5)):
        wrong = by_name(rows)
        wrong[column][3, 0] = unknown
        with pytest.raises(BadRequest, match=f"^column '{column}' holds a category that the model was not trained on$"):
            run(package, wrong)


def test_categories_by_name_behind_a_script(packaged: Packager, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*args: Any) -> Any:
        raise Unsupported("it is written in invisible ink")

    rows = frame()
    model = xgboost.XGBRegressor(n_estimators=10, enable_categorical=True).fit(rows, rows.age + (rows.city == "Oslo"))
    monkeypatch.setattr(xgboost_forest, "read", unreadable)
    package = packaged(model, sample=rows, env="current")
    assert package.manifest.engine == "script" and "invisible ink" in package.manifest.engine_reason
    np.testing.assert_allclose(run(package, by_name(rows))[:, 0], model.predict(rows), atol=1e-5)


def test_texts_beyond_ascii_are_told_by_codes(packaged: Packager) -> None:
    """XGBoost 3.2 cuts them in its files."""
    rows = frame()
    rows["city"] = rows.city.cat.rename_categories({"Rome": "Zürich"})
    model = xgboost.XGBRegressor(n_estimators=10, enable_categorical=True).fit(rows, rows.age)
    manifest = packaged(model).manifest
    assert manifest.engine == "onnx" and "columns 'city', 'shop' take codes of categories" in manifest.notes[0]


def damaged(change: Callable[[Any], None]) -> bytes:
    """A model's file with a change to its first tree."""
    document = json.loads(regressor().get_booster().save_raw("json"))
    change(document["learner"]["gradient_booster"]["model"]["trees"][0])
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("name", "value"), [("left_children", 30000), ("left_children", 0), ("split_indices", 2000000)]
)
def test_a_damaged_file_ends_nothing_but_its_trial(tmp_path: Path, name: str, value: int) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(damaged(lambda tree: tree[name].__setitem__(0, value)))
    source = Source("m", path=path)
    with pytest.raises(BadArtefact, match=r"m\.json: ") as caught:
        converter_for(source).convert(source, tmp_path)
    assert "\n" not in caught.value.message


def test_files(packaged: Packager, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcd"))
    model = xgboost.XGBClassifier(n_estimators=10).fit(frame, CLASSES)
    for name in ("m.json", "m.ubj"):
        model.save_model(tmp_path / name)
    model.get_booster().save_model(tmp_path / "booster.json")
    want = packaged(model, "memory", sample=frame[["d", "c", "b", "a"]])
    for name in ("m.json", "m.ubj"):
        package = packaged(tmp_path / name, name.replace(".", "-"), sample=frame)
        assert package.model_path.read_bytes() == want.model_path.read_bytes()
    assert [t.name for t in packaged(tmp_path / "booster.json").manifest.signature.outputs] == ["variable"]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["m.ubj", "m.json"])
def test_what_is_no_model(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'{"learner": 1}' if name == "m.json" else b"\x00nothing")
    with pytest.raises(BadArtefact, match=rf"{name}: expected an XGBoost model, found"):
        converter_for(Source("m", path=path)).convert(Source("m", path=path), tmp_path)
    assert not from_xgboost.recognises(Source("m", path=tmp_path / "other.json"))


def test_not_fitted(packaged: Packager) -> None:
    with pytest.raises(BadArtefact, match="the XGBRegressor is not fitted"):
        packaged(xgboost.XGBRegressor())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"booster": "gblinear"}, "XGBoost's booster gblinear is not made of trees"),
        ({"multi_strategy": "multi_output_tree"}, "XGBoost's trees with a vector in each leaf"),
    ],
)
def test_what_no_tree_can_say_goes_behind_a_script(packaged: Packager, options: Any, told: str) -> None:
    model = xgboost.XGBRegressor(n_estimators=15, **options).fit(X, np.column_stack([SUM, -SUM]))
    package = packaged(model, env="current")
    assert package.manifest.engine == "script" and told in package.manifest.engine_reason
    np.testing.assert_allclose(answer(package, X)["variable"], model.predict(X), rtol=1e-5, atol=1e-5)


def thresholds(make: Any) -> Any:
    """A converter with a fault: every threshold one float32 too high, which no ordinary row notices."""
    return lambda exact, strict: np.nextafter(make(exact, strict), np.float32(np.inf))


def leaves(make: Any) -> Any:
    """A converter with a fault: one per mille more in each leaf."""

    def attributes(*args: Any) -> Any:
        out = make(*args)
        name = "target_weights" if "target_weights" in out else "target_weights_as_tensor"
        if name in out and isinstance(out[name], list):
            out[name] = [v * 1.001 for v in out[name]]
        return out

    return attributes


def directions(make: Any) -> Any:
    """A converter with a fault: missing values go the other way."""

    def attributes(*args: Any) -> Any:
        out = make(*args)
        out["nodes_missing_value_tracks_true"] = [1 - v for v in out["nodes_missing_value_tracks_true"]]
        return out

    return attributes


@pytest.mark.parametrize(
    ("name", "fault", "told"),
    [
        ("rounded", thresholds, "near-threshold rows"),
        ("attributes", leaves, "given rows"),
        ("attributes", directions, "near-threshold rows"),
    ],
)
def test_a_broken_converter_is_caught(
    packaged: Packager, monkeypatch: pytest.MonkeyPatch, name: str, fault: Any, told: str
) -> None:
    model = regressor()
    assert packaged(model, "sound", sample=FRESH).manifest.engine == "onnx"
    monkeypatch.setattr(forest_onnx, name, fault(getattr(forest_onnx, name)))
    broken = packaged(model, env="current", sample=FRESH).manifest
    if fault is directions:
        assert broken.engine == "script"
    why = (broken.engine_reason, *broken.notes)
    assert any(told in one for one in why), why


def pipeline() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=10)).fit(Z, CLASSES)


def vote() -> Any:
    from sklearn.ensemble import VotingClassifier
    from sklearn.linear_model import LogisticRegression

    parts = [("a", xgboost.XGBClassifier(n_estimators=10)), ("b", LogisticRegression())]
    return VotingClassifier(parts, voting="soft").fit(Z, CLASSES)


@pytest.mark.parametrize("make", [pipeline, vote])
def test_inside_scikit_learn(packaged: Packager, make: Callable[[], Any]) -> None:
    model = make()
    package = packaged(model, sample=Z)
    assert package.manifest.engine == "onnx" and package.manifest.source is not None
    assert package.manifest.source.versions["xgboost-cpu"] == xgboost.__version__
    np.testing.assert_allclose(
        answer(package, Z)["probabilities"], model.predict_proba(Z.astype(np.float64)), atol=1e-5
    )


def test_pickled(packaged: Packager, tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=10).fit(Z, CLASSES)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    package = packaged(tmp_path / "m.pkl", trust_pickle=True, env="current")
    source = package.manifest.source
    assert source is not None and (source.framework, source.type) == ("xgboost", type(model).__name__)
    assert package.manifest.engine == "onnx" and "unpickled with" in package.manifest.notes[-1]
    np.testing.assert_allclose(answer(package, X)["probabilities"], model.predict_proba(X), atol=1e-5)
