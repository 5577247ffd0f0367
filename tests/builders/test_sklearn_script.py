"""The script that is written for an estimator without a faithful ONNX, run here as the host runs it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gantline.builders.generated_script import Wanted
from gantline.builders.sklearn_answers import answers_of, class_names, reference, specs_of
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_script import behind_script
from gantline.builders.source import Conversion, Source
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer
from sklearn.svm import LinearSVC

from gantline.errors import BadArtefact
from gantline.manifest import TableInfo
from gantline.signature import Signature
from gantline.tensors import Array

R = np.random.default_rng(0)
X = R.normal(size=(60, 2))
FRAME = pd.DataFrame({"n": X[:, 0], "city": R.choice(["Oslo", "Zürich"], 60)})
GAPS = FRAME.assign(city=FRAME.city.where(FRAME.index % 3 > 0, np.nan))
Y = np.where(X[:, 0] > 0, "yes", "no")


def converted(model: Any, rows: dict[str, Array], tmp_path: Path, **source: Any) -> tuple[Conversion, list[Array]]:
    layout, answers = layout_of(model, None), answers_of(model)
    seen = reference(model, layout, answers)(rows)
    known = {"table": TableInfo(columns=("n",))}
    base = Conversion("onnx", "sklearn", type(model).__name__, {}, manifest=known)
    told = Source("m", object=model, **source)
    signature = Signature(layout.inputs, specs_of(answers, seen, class_names(model)))
    made = behind_script(base, Wanted(model, layout, answers, signature, told, tmp_path))
    assert known.items() < made.manifest.items() and "script" in made.manifest
    return made, seen


def script(conversion: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for inside, made in conversion.files.items():
        (tmp_path / inside).parent.mkdir(exist_ok=True)
        (tmp_path / inside).write_bytes(made.read_bytes())
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / "models"))
    spec = importlib.util.spec_from_file_location("score", tmp_path / "code" / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.init()
    return module


def text(values: list[str]) -> Array:
    return np.array([[v.encode()] for v in values], object)


CASES: dict[str, tuple[Any, dict[str, Array]]] = {
    "matrix": (make_pipeline(SplineTransformer(), LogisticRegression()).fit(X, Y), {"X": X.astype(np.float32)}),
    "named": (
        make_pipeline(SplineTransformer(), Ridge()).fit(FRAME[["n"]], X[:, 1]),
        {"X": X[:, :1].astype(np.float32)},
    ),
    "gaps": (
        make_pipeline(
            ColumnTransformer([("n", SplineTransformer(), ["n"]), ("c", OneHotEncoder(), ["city"])]), LinearSVC()
        ).fit(GAPS, Y),
        {"n": X[:, :1].astype(np.float32), "city": text(GAPS.city.fillna("").tolist())},
    ),
    "gaps in a matrix": (
        make_pipeline(OneHotEncoder(), LogisticRegression()).fit(GAPS[["city"]], Y),
        {"X": text(GAPS.city.fillna("").tolist())},
    ),
    "columns": (
        make_pipeline(
            ColumnTransformer([("n", SplineTransformer(), ["n"]), ("c", OneHotEncoder(), ["city"])]), LinearSVC()
        ).fit(FRAME, Y),
        {"n": X[:, :1].astype(np.float32), "city": text(FRAME.city.tolist())},
    ),
    "documents": (
        make_pipeline(HashingVectorizer(n_features=16), LogisticRegression()).fit(FRAME.city, Y),
        {"X": text(FRAME.city.tolist())},
    ),
    "histogram boosting of words": (
        HistGradientBoostingRegressor(max_iter=3).fit(GAPS.astype({"city": "category"}), X[:, 1]),
        {"n": X[:, :1].astype(np.float32), "city": text(GAPS.city.fillna("").tolist())},
    ),
    "sparse": (OneHotEncoder().fit(FRAME[["city"]]), {"X": text(FRAME.city.tolist())}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_answers_as_the_estimator(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = CASES[case]
    work = tmp_path / "work"
    work.mkdir()
    conversion, want = converted(model, rows, work)
    got = script(conversion, tmp_path, monkeypatch).infer(rows)
    signature = conversion.signature
    assert signature is not None and list(got) == [t.name for t in signature.outputs]
    signature.check("m", rows)
    for spec, array in zip(signature.outputs, want, strict=True):
        assert spec.accepts(got[spec.name].shape)
        if spec.datatype == "BYTES":
            assert [v.decode() for v in got[spec.name]] == array.tolist()
        else:
            np.testing.assert_allclose(got[spec.name], array, atol=1e-6)
    info = conversion.manifest["script"]
    assert (conversion.engine, info.contract, info.entry, info.models) == ("script", "tensors", "score.py", "models")


def test_the_environment_is_pinned(tmp_path: Path) -> None:
    model, rows = CASES["columns"]
    environment = converted(model, rows, tmp_path)[0].manifest["environment"]
    assert environment.kind == "requirements"
    for name in ("scikit-learn", "skops", "numpy", "scipy", "pandas"):
        assert f"{name}=={version(name)}" in environment.requirements
    asked = tmp_path / "requirements.txt"
    asked.write_text("scikit-learn==1.5.0\n")
    environment = converted(model, rows, tmp_path, environment=asked)[0].manifest["environment"]
    assert environment.requirements == ("scikit-learn==1.5.0",)
    current = converted(model, rows, tmp_path, environment=Path("current"))[0].manifest["environment"]
    assert current.kind == "current"


def test_code_that_nobody_installed_is_asked_for(tmp_path: Path) -> None:
    model = FunctionTransformer(_own).fit(X)
    with pytest.raises(BadArtefact, match=r"no installed distribution provides.*--script"):
        converted(model, {"X": X.astype(np.float32)}, tmp_path)


def _own(x: Array) -> Array:
    return x * 2
