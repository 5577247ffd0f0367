"""Write docs/scikit-learn.md: what becomes of every estimator of scikit-learn, and of settings that people use.

Each is fitted on data that scikit-learn ships and converted as `gantline package` does it, parity and all. A slow test
compares the page with what comes of it today.
"""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scikit-learn.md"
ROWS = 150
Case = tuple[str, Any, Any, Any]  # name, unfitted estimator, features, target


def page() -> str:
    """The page's text."""
    import sklearn
    from threadpoolctl import threadpool_limits

    # so few rows are not worth threads, which beside other work wait for each other more than they compute
    with threadpool_limits(1), warnings.catch_warnings():
        # convergence, deprecations: of no use to who asks what becomes of an estimator
        warnings.simplefilter("ignore")
        whole = [_row(name, _outcomes(name)) for name in names()]
        settings = [f"| {what} | {outcome(model, x, y)} |\n" for what, model, x, y in _settings()]
    return _TEXT.format(version=sklearn.__version__, estimators="".join(whole), settings="".join(settings))


def names() -> list[str]:
    """Every estimator that scikit-learn ships, experimental ones included."""
    from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
    from sklearn.utils import all_estimators

    return [str(name) for name, _ in all_estimators()]


def outcome(model: Any, features: Any, target: Any) -> str:
    """`ONNX`, `script: why` or `no: why`, without figures, which differ from machine to machine."""
    from gantline.builders import from_sklearn
    from gantline.builders.source import Source

    from gantline.errors import GantlineError

    fitted = model.fit(features, target) if target is not None else model.fit(features)
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = from_sklearn.convert(Source("page", object=fitted, sample=_sample(features)), Path(folder))
        except GantlineError as e:
            return f"no: {_plain(e.message)}"
    return "ONNX" if made.engine == "onnx" else f"script: {_plain(made.reason.removeprefix('no faithful ONNX: '))}"


def _plain(reason: str) -> str:
    found = re.sub(r"^in float32: (.*?); in float64: .*", r"\1", reason)
    if found.startswith("output '"):
        output = found.split("'")[1]
        return f"answers differ ({output})"
    if re.search(r"onnxruntime \d|INVALID_ARGUMENT|NOT_IMPLEMENTED", found):
        return "onnxruntime cannot run what skl2onnx makes of it"
    return found.partition("; package")[0].replace("|", "/")


def _sample(features: Any) -> dict[str, Any] | None:
    from gantline.samples import UNNAMED, from_frame

    if hasattr(features, "columns"):
        return dict(from_frame(features))
    return {UNNAMED: features} if isinstance(features, np.ndarray) else None


def _outcomes(name: str) -> tuple[str, str]:
    """For features in float32 and in float64."""
    found = []
    for kind in (np.float32, np.float64):
        features, target = _data(name)
        if isinstance(features, np.ndarray) and features.dtype.kind == "f":
            features = features.astype(kind)
        found.append(outcome(_made(name), features, target))
    return found[0], found[1]


def _row(name: str, found: tuple[str, str]) -> str:
    single, double = (f.partition(": ") for f in found)
    why = double[2] or single[2]
    if single[0] == double[0]:
        return f"| {name} | {double[0]} | {why} |\n"
    return f"| {name} | {single[0]} in float32, {double[0]} in float64 | {why} |\n"


@cache
def _iris() -> tuple[Any, Any]:
    from sklearn.datasets import load_iris

    features, target = load_iris(return_X_y=True)
    return features, target


@cache
def _diabetes() -> tuple[Any, Any]:
    from sklearn.datasets import load_diabetes

    features, target = load_diabetes(return_X_y=True)
    return features[:ROWS], target[:ROWS]


TEXTS = ["good film", "bad film", "great acting, good", "terrible, bad", "screen good", "awful film"] * 5
MOODS = ["p", "n", "p", "n", "p", "n"] * 5


def _data(name: str) -> tuple[Any, Any]:
    from sklearn.base import is_regressor

    iris, diabetes = _iris(), _diabetes()
    values = diabetes[1]
    special: dict[str, tuple[Any, Any]] = {
        "CategoricalNB": (iris[0].astype(int), iris[1]),
        "AdditiveChi2Sampler": (np.abs(iris[0]), None),
        "DictVectorizer": ([{"a": 1.0, "b": 2.0}, {"a": 3.0}], None),
        "FeatureHasher": ([{"a": 1.0}, {"b": 2.0}], None),
        "FixedThresholdClassifier": (iris[0], iris[1] > 0),
        "TunedThresholdClassifierCV": (iris[0], iris[1] > 0),
        "IsotonicRegression": (diabetes[0][:, :1], values),
        "KernelCenterer": (iris[0] @ iris[0].T, None),
        "LabelBinarizer": (iris[1], None),
        "LabelEncoder": (iris[1], None),
        "MultiLabelBinarizer": ([(1, 2), (3,)], None),
        "PatchExtractor": (np.random.default_rng(0).random((5, 8, 8)), None),
    }
    if name in special:
        return special[name]
    if name in ("CountVectorizer", "HashingVectorizer", "TfidfVectorizer"):
        return TEXTS, MOODS
    if name in ("ClassifierChain", "MultiOutputClassifier"):
        return iris[0], np.stack([iris[1] > 0, iris[1] == 1], axis=1).astype(int)
    if name in ("CCA", "PLSCanonical", "PLSRegression", "PLSSVD"):
        return iris[0], iris[0][:, :2] * [2, 3] + 1
    if name in ("MultiOutputRegressor", "RegressorChain") or name.startswith("MultiTask"):
        return diabetes[0], np.stack([values, values**2 / 100], axis=1)
    return diabetes if is_regressor(_made(name)) else iris


def _made(name: str) -> Any:
    """An estimator of that name, unfitted, with little to compute."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.naive_bayes import GaussianNB
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeRegressor
    from sklearn.utils import all_estimators

    kind = dict(all_estimators())[name]
    linear, line, tree = LogisticRegression(max_iter=200), LinearRegression(), DecisionTreeRegressor(max_depth=3)
    arguments: dict[str, tuple[Any, ...]] = {
        "ColumnTransformer": ([("a", StandardScaler(), [0, 1]), ("b", "passthrough", [2])],),
        "FeatureUnion": ([("a", StandardScaler()), ("b", PCA(2))],),
        "FrozenEstimator": (linear.fit(*_iris()),),
        "GridSearchCV": (Ridge(), {"alpha": [1, 2]}),
        "HalvingGridSearchCV": (Ridge(), {"alpha": [1, 2]}),
        "HalvingRandomSearchCV": (Ridge(), {"alpha": [1, 2]}),
        "RandomizedSearchCV": (Ridge(), {"alpha": [1, 2]}),
        "MultiOutputRegressor": (Ridge(),),
        "Pipeline": ([("a", StandardScaler()), ("b", linear)],),
        "RegressorChain": (Ridge(),),
        "SelfTrainingClassifier": (linear,),
        "SparseCoder": (np.eye(4),),
        "StackingClassifier": ([("a", linear), ("b", GaussianNB())],),
        "StackingRegressor": ([("a", line), ("b", tree)],),
        "TransformedTargetRegressor": (line,),
        "VotingClassifier": ([("a", linear), ("b", GaussianNB())],),
        "VotingRegressor": ([("a", line), ("b", tree)],),
    }
    smaller: dict[str, Any] = {"cv": 2, "n_estimators": 8, "random_state": 0, "n_components": 2, "n_quantiles": 20}
    smaller |= {"func": np.log1p, "inverse_func": np.expm1} if name == "TransformedTargetRegressor" else {}
    smaller |= {"n_features_to_select": 2} if name == "SequentialFeatureSelector" else {}
    smaller |= {"novelty": True} if name == "LocalOutlierFactor" else {}
    smaller |= {"n_iter": 2} if name == "RandomizedSearchCV" else {}
    smaller |= {"n_components": 3} if name == "SpectralBiclustering" else {}
    smaller |= {"max_iter": 20} if name == "NeighborhoodComponentsAnalysis" else {}
    wanted = arguments.get(name, (linear,) if _wraps(kind) else ())
    made = kind(*wanted)
    known = made.get_params(deep=False)
    changes = {k: v for k, v in smaller.items() if k in known}
    return made.set_params(**changes) if changes else made


def _wraps(kind: Any) -> bool:
    import inspect

    first = next((p for n, p in inspect.signature(kind).parameters.items()), None)
    return (
        first is not None and first.name in ("estimator", "base_estimator") and first.default is inspect.Parameter.empty
    )


def _settings() -> Iterator[Case]:
    from sklearn_settings import settings

    yield from settings(_iris(), _diabetes(), TEXTS, MOODS)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE.relative_to(PAGE.parent.parent)}: written\n")


_TEXT = """\
# scikit-learn

What becomes of each estimator of scikit-learn {version}, fitted on data that scikit-learn ships. Your own data may
decide otherwise: `gantline package` compares every conversion with its source, on your rows if you give some, and
`gantline inspect` says what came of it and why. This page is written by `make docs`.

- **ONNX**: converted, and the same answers within a relative error of 0.0001, next to the thresholds of trees and with
  missing numbers too, where the estimator takes them.
- **script**: no faithful ONNX; the package holds the estimator and asks for the versions it was made with. It runs in a
  Python process of its own: slower, and the answers are scikit-learn's.
- **no**: not packaged by itself; a [scoring script](cli/package.md) may call it.

## Estimators

Small settings (8 trees, 2 components), otherwise the defaults. Wrappers hold a linear model. "float32" and "float64"
are the features' types when it was fitted; they are told apart where they matter.

| estimator | becomes | why |
|---|---|---|
{estimators}
## Settings

What people use beside the defaults.

| model | becomes |
|---|---|
{settings}"""


if __name__ == "__main__":
    main()
