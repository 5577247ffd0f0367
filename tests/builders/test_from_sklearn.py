"""From a fitted estimator to a package: what each kind becomes, and that it answers as the estimator does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skl2onnx
from gantline.accelerators.session import Session
from gantline.builders import from_sklearn, sklearn_trees
from gantline.builders.sklearn_onnx import WAYS
from gantline.builders.source import Source
from onnx import numpy_helper

from gantline.errors import BadArtefact, BadRequest
from gantline.packages import Package
from gantline.tensors import Array, to_bytes_array

Packager = Callable[..., Package]
XY = tuple[Array, Array]


def answer(package: Package, inputs: dict[str, Array]) -> dict[str, Array]:
    session = Session.open(package)
    try:
        return dict(zip(session.output_names, session.run(inputs), strict=True))
    finally:
        session.close()


def single(values: Array) -> dict[str, Array]:
    return {"X": values.astype(np.float32)}


def text(values: Array) -> list[str]:
    return [v.decode() for v in to_bytes_array(values)]


def test_a_classifier(packaged: Packager, iris: XY) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = np.array(["setosa", "versicolor", "virginica"])[iris[1]]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(iris[0], names)
    package = packaged(model)
    manifest = package.manifest
    assert manifest.engine == "onnx" and manifest.source is not None and manifest.signature is not None
    assert manifest.source.type == "Pipeline(StandardScaler, LogisticRegression)"
    label, probabilities = manifest.signature.outputs
    assert (label.name, label.datatype, label.shape) == ("label", "BYTES", (-1,))
    assert (probabilities.shape, probabilities.labels) == ((-1, 3), ("setosa", "versicolor", "virginica"))
    assert manifest.batching.max_batch_size == 64 and manifest.parity is not None
    assert manifest.parity.sample == "synthetic" and not any("standard normal" in n for n in manifest.notes)
    got = answer(package, single(iris[0]))
    assert text(got["label"]) == model.predict(iris[0]).tolist()
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(iris[0]), atol=1e-5)


def test_a_regressor_on_given_rows(packaged: Packager, diabetes: XY) -> None:
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(n_estimators=20, random_state=0).fit(*diabetes)
    package = packaged(model, sample=diabetes[0][:50])
    parity = package.manifest.parity
    assert parity is not None and (parity.sample, parity.rows) == ("given", 50)
    assert parity.near_threshold_probes > 100 and parity.max_rel_error < 1e-5
    got = answer(package, single(diabetes[0]))["variable"]
    np.testing.assert_allclose(got[:, 0], model.predict(diabetes[0]), rtol=1e-4)


def test_columns_of_several_types(packaged: Packager) -> None:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    r = np.random.default_rng(0)
    frame = pd.DataFrame({
        "unused": r.normal(size=200), "age": r.integers(18, 80, 200).astype(float),
        "city": r.choice(["Oslo", "Rome", "Zürich"], 200), "grade": r.integers(1, 5, 200),
    })  # fmt: skip
    frame.loc[::9, "age"] = np.nan
    target = np.where((frame.age > 50) & (frame.city == "Rome"), "yes", "no")
    columns = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
        ("kinds", OneHotEncoder(handle_unknown="ignore"), ["city", "grade"]),
    ])  # fmt: skip
    model = make_pipeline(columns, RandomForestClassifier(10, random_state=0)).fit(frame, target)
    package = packaged(model, sample=frame)
    signature = package.manifest.signature
    assert package.manifest.engine == "onnx" and signature is not None
    found = [(t.name, t.datatype, t.shape) for t in signature.inputs]
    assert found == [("age", "FP32", (-1, 1)), ("city", "BYTES", (-1, 1)), ("grade", "INT64", (-1, 1))]
    rows = {
        "age": np.array([[60.0], [np.nan], [20.0]], np.float32),
        "city": np.array([[b"Rome"], ["Zürich".encode()], [b"Atlantis"]], object),
        "grade": np.array([[1], [2], [3]]),
    }
    table = pd.DataFrame({"age": [60, np.nan, 20], "city": ["Rome", "Zürich", "Atlantis"], "grade": [1, 2, 3]})
    got = answer(package, rows)
    assert text(got["label"]) == model.predict(table).tolist()
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(table), atol=1e-6)


def test_text(packaged: Packager) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    documents = ["good film", "bad film", "great acting good", "terrible bad", "screen good", "awful film"] * 4
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(documents, ["p", "n", "p", "n", "p", "n"] * 4)
    package = packaged(model)
    assert package.manifest.engine == "onnx"
    assert any("final sigma" in note for note in package.manifest.notes)
    texts = ["a GOOD film", "so bad", "unknown words", "great-acting, i.e. a GOOD film!", "gööd film", ""]
    got = answer(package, {"X": np.array([[t.encode()] for t in texts], object)})
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(texts), atol=1e-6)


def scaled_tree(iris: XY) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    return make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0)).fit(*iris)


def test_a_scaler_before_a_tree_is_computed_as_scikit_learn_does(packaged: Packager, iris: XY) -> None:
    """In float32 the scaler's reciprocal sends inputs next to a threshold down the other branch."""
    package = packaged(scaled_tree(iris), sample=iris[0])
    parity = package.manifest.parity
    assert package.manifest.engine == "onnx" and parity is not None
    assert parity.near_threshold_probes >= 16 and parity.label_flips == 0
    why = "computed in float64, because in float32"
    assert any(n.startswith(why) for n in package.manifest.notes)


def test_what_has_no_converter_goes_behind_a_script(packaged: Packager, iris: XY) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    model = make_pipeline(SplineTransformer(), LogisticRegression(max_iter=300)).fit(*iris)
    package = packaged(model, env="current")
    assert package.manifest.engine == "script"
    assert package.manifest.engine_reason == "no faithful ONNX: skl2onnx has no converter for SplineTransformer"
    got = answer(package, single(iris[0]))
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(iris[0].astype(np.float32)), atol=1e-5)
    assert got["label"].dtype == np.int64


def scaling(make: Any) -> Any:
    """skl2onnx with a fault: every coefficient one per cent too large."""

    def convert(*args: Any, **kwargs: Any) -> onnx.ModelProto:
        model = make(*args, **kwargs)
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "coefficients":
                    attribute.floats[:] = [v * 1.01 for v in attribute.floats]
        for at, tensor in enumerate(model.graph.initializer):
            values = numpy_helper.to_array(tensor)
            if values.dtype.kind == "f":
                model.graph.initializer[at].CopyFrom(numpy_helper.from_array(values * 1.01, tensor.name))
        return model  # type: ignore[no-any-return]

    return convert


def nudging(make: Any) -> Any:
    """skl2onnx with a fault: every threshold of a tree one float32 too high, which no ordinary row notices."""

    def convert(*args: Any, **kwargs: Any) -> onnx.ModelProto:
        model = make(*args, **kwargs)
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "nodes_values":
                    up = np.nextafter(np.array(attribute.floats, np.float32), np.float32(np.inf))
                    attribute.floats[:] = up.tolist()
        return model  # type: ignore[no-any-return]

    return convert


@pytest.mark.parametrize(
    ("fault", "told"),
    [(scaling, "synthetic rows"), pytest.param(nudging, "near-threshold rows", marks=pytest.mark.slow)],
)
def test_a_broken_converter_is_caught(
    packaged: Packager, iris: XY, monkeypatch: pytest.MonkeyPatch, fault: Any, told: str
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    model = LogisticRegression(max_iter=500) if fault is scaling else DecisionTreeClassifier(random_state=0)
    model.fit(*iris)
    assert packaged(model, "sound").manifest.engine == "onnx"
    monkeypatch.setattr(skl2onnx, "convert_sklearn", fault(skl2onnx.convert_sklearn))
    package = packaged(model, env="current")
    assert package.manifest.engine == "script"
    assert "output '" in package.manifest.engine_reason and told in package.manifest.engine_reason
    if fault is scaling:
        loose = packaged(model, "loose", rtol=0.2, allow_flips=5)
        assert loose.manifest.engine == "onnx" and loose.manifest.parity is not None
        assert loose.manifest.parity.loosened == ("rtol 0.0001 -> 0.2", "label flips 0 -> 5")


def test_a_converter_that_loses_missing_values_is_caught(
    iris: XY, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No row that the user gave has a missing value; the forest takes them all the same."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(5, random_state=0).fit(*iris)
    source = Source("m", object=model, sample={"X": iris[0]})
    study = from_sklearn.study_of(model, source)
    assert from_sklearn.tried(WAYS[0], study, source, tmp_path)[1] == ""
    monkeypatch.setattr(sklearn_trees, "_missing_left", lambda tree: np.zeros(tree.node_count, np.uint8))
    made, problem = from_sklearn.tried(WAYS[0], study, source, tmp_path)
    assert made is None and "given, with missing numbers, rows" in problem


@pytest.mark.parametrize("kind", ["KMeans", "NMF"])
def test_an_estimator_that_takes_float32_alone(iris: XY, tmp_path: Path, kind: str) -> None:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import NMF

    rows = iris[0].astype(np.float32)
    model = (KMeans(3, n_init=1, random_state=0) if kind == "KMeans" else NMF(2, max_iter=2000)).fit(rows)
    made = from_sklearn.convert(Source("m", object=model, sample={"X": rows}), tmp_path)
    assert made.engine == ("onnx" if kind == "KMeans" else "script")
    if kind == "NMF":
        assert "SINGLE = True" in (tmp_path / "score.py").read_text()


@pytest.mark.slow
def test_the_same_estimators_give_the_same_digests(tmp_path: Path) -> None:
    """Two processes with different hash seeds, in different directories."""
    program = Path(__file__).with_name("digest_program.py")
    running = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-W", "ignore", str(program)]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True))
    printed = []
    for child in running:
        out, err = child.communicate()
        assert child.returncode == 0, err
        printed.append(out.split())
    assert printed[0] == printed[1]
    assert len(set(printed[0])) == 4 and all(d.startswith("sha256:") for d in printed[0])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        ("unfitted", "the LogisticRegression is not fitted"),
        ("clusters", "DBSCAN can neither predict nor transform"),
        ("neighbourhood", "fails on synthetic data"),
        ("labels", "LabelEncoder reads labels, not a table of columns"),
        ("dictionaries", "DictVectorizer reads dictionaries"),
        ("outliers", "nothing to serve; fit it with novelty=True"),
    ],
)
def test_what_cannot_be_served_is_told(packaged: Packager, iris: XY, tmp_path: Path, make: str, told: str) -> None:
    from sklearn.cluster import DBSCAN
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import LocalOutlierFactor, RadiusNeighborsClassifier
    from sklearn.preprocessing import LabelEncoder

    model = {
        "unfitted": LogisticRegression,
        "clusters": lambda: DBSCAN().fit(iris[0]),
        "neighbourhood": lambda: RadiusNeighborsClassifier(radius=1e-3).fit(*iris),
        "labels": lambda: LabelEncoder().fit(iris[1]),
        "dictionaries": lambda: DictVectorizer().fit([{"a": 1}]),
        "outliers": lambda: LocalOutlierFactor().fit(iris[0]),
    }[make]()
    with pytest.raises(BadArtefact, match=told):
        packaged(model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", [{"a": 1}, "text", [1, 2]])
def test_what_a_skops_file_may_hold_besides(tmp_path: Path, other: object) -> None:
    source = Source("m", path=tmp_path / "other.skops")
    told = rf"other\.skops: expected a fitted scikit-learn estimator, found {type(other).__name__}"
    with pytest.raises(BadArtefact, match=told):
        from_sklearn.convert_estimator(other, source, tmp_path)


def test_an_estimator_that_raises_when_it_is_looked_at(packaged: Packager, diabetes: XY) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(*diabetes)
    model.n_features_in_ = "ten"
    with pytest.raises(BadArtefact, match=r"LinearRegression: cannot be read as a fitted .*\(ValueError"):
        packaged(model)


def test_wrong_columns_are_listed(packaged: Packager, tmp_path: Path) -> None:
    import pandas as pd
    from sklearn.linear_model import Ridge

    frame = pd.DataFrame({"a": [1.0, 2, 3], "b": [2.0, 1, 0]})
    model = Ridge().fit(frame, [1, 2, 3])
    with pytest.raises(BadRequest, match=r"fitted on columns 'a', 'b'; the sample lacks 'b', it has 'a', 'c'"):
        packaged(model, sample={"a": np.ones(2), "c": np.ones(2)})
    swapped = packaged(model, sample={"b": np.array([2.0, 0]), "target": np.ones(2), "a": np.array([1.0, 3])})
    assert swapped.manifest.parity is not None and swapped.manifest.parity.max_rel_error < 1e-5
    assert swapped.manifest.table.columns == ("a", "b")  # by which a server and its clients find them
    assert [p.name for p in tmp_path.iterdir()] == ["model.pkg"]


def test_recognises() -> None:
    from sklearn.linear_model import Ridge

    assert from_sklearn.recognises(Source("m", object=Ridge()))
    assert from_sklearn.recognises(Source("m", path=Path("x.SKOPS")))
    assert not from_sklearn.recognises(Source("m", path=Path("x.onnx")))
    assert not from_sklearn.recognises(Source("m", object={"a": 1}))
