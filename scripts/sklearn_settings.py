"""Models as people set them up, for the page on scikit-learn: (what it is, unfitted model, features, target)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Case = tuple[str, Any, Any, Any]
Table = tuple[Any, Any]


def settings(iris: Table, diabetes: Table, texts: list[str], moods: list[str]) -> Iterator[Case]:
    """All of them."""
    for group in (_trees, _together, _distances, _calibrated, _several, _numbers):
        yield from group(iris, diabetes)
    yield from _columns()
    for what, vectoriser in _vectorisers():
        yield f"{what}, LogisticRegression", _then_linear(vectoriser), texts, moods


def _then_linear(*steps: Any) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps, LogisticRegression(max_iter=200))


def _scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def _forest(**options: Any) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(8, random_state=0, **options)


def _trees(iris: Table, diabetes: Table) -> Iterator[Case]:
    from sklearn import ensemble as e

    (x, y), (d, v) = iris, diabetes
    holes = np.where(np.arange(x.size).reshape(x.shape) % 7 == 0, np.nan, x)
    times = np.column_stack([1.7e9 + 37.0 * np.arange(len(x)), x])
    boost: Callable[..., Any] = lambda **k: e.GradientBoostingClassifier(n_estimators=8, random_state=0, **k)  # noqa: E731
    rest: Callable[..., Any] = lambda **k: e.GradientBoostingRegressor(n_estimators=8, random_state=0, **k)  # noqa: E731
    bins: Callable[..., Any] = lambda **k: e.HistGradientBoostingRegressor(max_iter=8, **k)  # noqa: E731
    kinds = np.column_stack([np.arange(len(x)) % 5, x])
    yield "RandomForestClassifier, missing values", _forest(), holes, y
    yield "StandardScaler, RandomForestClassifier, Unix times", _scaled(_forest()), times, y
    yield "StandardScaler, GradientBoostingClassifier, Unix times", _scaled(boost()), times, y
    yield "StandardScaler, IsolationForest, Unix times", _scaled(e.IsolationForest(random_state=0)), times, None
    yield "GradientBoostingClassifier, init='zero'", boost(init="zero"), x, y
    yield "GradientBoostingClassifier, init an estimator", boost(init=_then_linear()), x, y
    yield "GradientBoostingClassifier, loss='exponential'", boost(loss="exponential"), x, y > 0
    for loss in ("absolute_error", "huber", "quantile"):
        yield f"GradientBoostingRegressor, loss='{loss}'", rest(loss=loss), d, v
    for loss in ("absolute_error", "poisson", "gamma"):
        yield f"HistGradientBoostingRegressor, loss='{loss}'", bins(loss=loss), d, v
    yield "HistGradientBoostingRegressor, loss='quantile'", bins(loss="quantile", quantile=0.3), d, v
    yield "HistGradientBoostingRegressor, missing values", bins(), holes, y * 1.0
    yield "HistGradientBoostingRegressor, categorical features", bins(categorical_features=[0]), kinds, y * 1.0
    yield "IsolationForest, max_features=0.5", e.IsolationForest(max_features=0.5, random_state=0), x, None
    yield "IsolationForest, contamination=0.1", e.IsolationForest(contamination=0.1, random_state=0), x, None


def _together(iris: Table, diabetes: Table) -> Iterator[Case]:
    from sklearn import ensemble as e
    from sklearn.linear_model import LinearRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.svm import SVC, LinearSVC

    (x, y), (d, v) = iris, diabetes
    both = [("a", _scaled(_then_linear())), ("b", _scaled(_forest()))]
    values = [("a", LinearRegression()), ("b", _scaled(e.RandomForestRegressor(4, random_state=0)))]
    hard = [("a", SVC()), ("b", _forest()), ("c", LinearSVC())]
    yield "VotingClassifier, hard, SVC, forest and LinearSVC", e.VotingClassifier(hard), x, y
    yield "VotingClassifier, soft, pipelines, weights", e.VotingClassifier(both, voting="soft", weights=[2, 1]), x, y
    yield "VotingRegressor, weights", e.VotingRegressor(values, weights=[1, 3]), d, v
    yield "StackingClassifier, pipelines", e.StackingClassifier(both, cv=2), x, y
    yield "StackingClassifier, two classes", e.StackingClassifier(both, cv=2), x, y > 0
    yield "StackingClassifier, passthrough", e.StackingClassifier([("a", GaussianNB())], cv=2, passthrough=True), x, y
    yield "StackingRegressor, pipelines", e.StackingRegressor(values, cv=2), d, v
    yield "BaggingRegressor, pipelines", e.BaggingRegressor(values[1][1], 3, random_state=0), d, v


def _distances(iris: Table, diabetes: Table) -> Iterator[Case]:
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor
    from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM

    (x, y), (d, v) = iris, diabetes
    yield "KNeighborsClassifier, rows at the same distance", KNeighborsClassifier(), x, y
    for metric in ("euclidean", "manhattan", "cosine"):
        yield f"KNeighborsClassifier, metric='{metric}'", KNeighborsClassifier(metric=metric), d, v > 150
    yield "StandardScaler, KNeighborsClassifier", _scaled(KNeighborsClassifier()), x, y
    yield "KNeighborsRegressor, weights='distance'", KNeighborsRegressor(weights="distance"), d, v
    yield "StandardScaler, LocalOutlierFactor, novelty=True", _scaled(LocalOutlierFactor(novelty=True)), x, None
    kernel = RBF(0.1) + WhiteKernel()
    gaussian = GaussianProcessRegressor(kernel, normalize_y=True, optimizer=None)
    yield "GaussianProcessRegressor, RBF + WhiteKernel", gaussian, d, v
    yield "GaussianProcessClassifier, two classes", GaussianProcessClassifier(RBF(), optimizer=None), x, y > 0
    for shape in ("linear", "poly", "rbf", "sigmoid"):
        yield f"SVC, kernel='{shape}'", SVC(kernel=shape, gamma=0.1), x, y
    yield "SVC, two classes", SVC(), x, y > 0
    yield "SVC, decision_function_shape='ovo'", SVC(decision_function_shape="ovo"), x, y
    yield "NuSVC", NuSVC(), x, y
    yield "SVR", SVR(), d, v
    yield "StandardScaler, OneClassSVM", _scaled(OneClassSVM(nu=0.1)), x, None


def _calibrated(iris: Table, diabetes: Table) -> Iterator[Case]:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC, LinearSVC

    x, y = iris
    for method in ("sigmoid", "isotonic", "temperature"):
        for what, inner in (("LinearSVC", LinearSVC()), ("forest", _forest()), ("scaled SVC", _scaled(SVC()))):
            model = CalibratedClassifierCV(inner, method=method, cv=2)
            yield f"CalibratedClassifierCV, {method}, {what}", model, x, y
    yield "CalibratedClassifierCV, two classes", CalibratedClassifierCV(_forest(), cv=2), x, y > 0
    yield "CalibratedClassifierCV, ensemble=False", CalibratedClassifierCV(LinearSVC(), ensemble=False, cv=2), x, y


def _several(iris: Table, diabetes: Table) -> Iterator[Case]:
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
    from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
    from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    (x, y), (d, v) = iris, diabetes
    marks = np.stack([y > 0, y == 1], axis=1).astype(int)
    classes, values = np.stack([y, (y + 1) % 3], axis=1), np.stack([v, v**2 / 100], axis=1)
    linear = _then_linear()
    yield "RandomForestClassifier, several labels", _forest(), x, marks
    yield "RandomForestClassifier, several outputs of three classes", _forest(), x, classes
    yield "DecisionTreeClassifier, several outputs", DecisionTreeClassifier(random_state=0), x, classes
    yield "RandomForestRegressor, several outputs", RandomForestRegressor(4, random_state=0), d, values
    yield "MultiOutputClassifier, forest", MultiOutputClassifier(_forest()), x, classes
    boosted = GradientBoostingRegressor(n_estimators=4, random_state=0)
    yield "MultiOutputRegressor, gradient boosting", MultiOutputRegressor(boosted), d, values
    yield "ClassifierChain", ClassifierChain(linear), x, marks
    yield "MLPClassifier, several labels", MLPClassifier((8,), max_iter=50, random_state=0), x, marks
    yield "KNeighborsClassifier, several labels", KNeighborsClassifier(), d, np.stack([v > 100, v > 200], 1).astype(int)
    yield "OneVsRestClassifier, several labels", OneVsRestClassifier(linear[-1]), x, marks
    yield "OneVsRestClassifier, forest", OneVsRestClassifier(_forest()), x, y
    yield "OneVsRestClassifier, LinearSVC", OneVsRestClassifier(LinearSVC()), x, y
    yield "OneVsOneClassifier, LinearSVC", OneVsOneClassifier(LinearSVC()), x, y


def _numbers(iris: Table, diabetes: Table) -> Iterator[Case]:
    from sklearn import preprocessing as p
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.impute import KNNImputer, SimpleImputer
    from sklearn.linear_model import LinearRegression

    (x, y), (d, v) = iris, diabetes
    holes = np.where(np.arange(x.size).reshape(x.shape) % 7 == 0, np.nan, x)
    for encode in ("onehot", "ordinal"):
        bins = p.KBinsDiscretizer(4, encode=encode, quantile_method="averaged_inverted_cdf")
        yield f"KBinsDiscretizer, encode='{encode}'", bins, x, None
    for shape in ("constant", "linear", "continue", "periodic"):
        yield f"SplineTransformer, extrapolation='{shape}'", p.SplineTransformer(extrapolation=shape), x, None
    yield "StandardScaler, PolynomialFeatures, linear", _scaled(_then_linear(p.PolynomialFeatures(2))), x, y
    yield "QuantileTransformer, uniform", p.QuantileTransformer(n_quantiles=50), x, None
    normal = p.QuantileTransformer(n_quantiles=50, output_distribution="normal")
    yield "QuantileTransformer, normal", normal, x, None
    yield "PowerTransformer", p.PowerTransformer(), x, None
    for function in (np.log1p, np.sqrt, np.cbrt):
        yield f"FunctionTransformer, np.{function.__name__}", _then_linear(p.FunctionTransformer(function)), x, y
    for what, options in (
        ("np.log1p", {"func": np.log1p, "inverse_func": np.expm1}),
        ("StandardScaler", {"transformer": p.StandardScaler()}),
        ("QuantileTransformer", {"transformer": p.QuantileTransformer(n_quantiles=20)}),
    ):
        yield f"TransformedTargetRegressor, {what}", TransformedTargetRegressor(LinearRegression(), **options), d, v
    yield "SimpleImputer, add_indicator=True", SimpleImputer(add_indicator=True), holes, None
    yield "KNNImputer", KNNImputer(), holes, None


def _columns() -> Iterator[Case]:
    import pandas as pd
    from sklearn import preprocessing as p
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    r = np.random.default_rng(0)
    age = np.where(np.arange(200) % 9 == 0, np.nan, r.integers(18, 80, 200))
    city = r.choice(["Oslo", "Rome", "Zürich"], 200).astype(object)
    frame = pd.DataFrame({"age": age, "city": city, "grade": r.integers(1, 5, 200), "member": r.random(200) > 0.5})
    gaps = frame.assign(city=frame.city.where(frame.index % 5 > 0, np.nan))
    target = np.where((frame.age > 50) & (frame.city == "Rome"), "yes", "no")
    ignored = p.OneHotEncoder(handle_unknown="ignore")
    codes: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    rare = p.OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2)
    filled = make_pipeline(SimpleImputer(strategy="most_frequent"), ignored)
    for what, encoder, columns, table in (
        ("OneHotEncoder, handle_unknown='ignore'", ignored, ["city"], frame),
        ("OneHotEncoder, integers", ignored, ["city", "grade"], frame),
        ("OneHotEncoder, truth values", p.OneHotEncoder(), ["member"], frame),
        ("OneHotEncoder, drop='first'", p.OneHotEncoder(drop="first"), ["city"], frame),
        ("OneHotEncoder, infrequent categories", rare, ["city"], frame),
        ("OneHotEncoder, missing texts", ignored, ["city"], gaps),
        ("SimpleImputer of texts, OneHotEncoder", filled, ["city"], gaps),
        ("OrdinalEncoder, unknown categories", p.OrdinalEncoder(**codes), ["city", "grade"], frame),
        ("OrdinalEncoder, missing texts", p.OrdinalEncoder(**codes, encoded_missing_value=-2), ["city"], gaps),
        ("TargetEncoder", p.TargetEncoder(random_state=0), ["city"], frame),
        ("TargetEncoder, missing texts", p.TargetEncoder(random_state=0), ["city"], gaps),
        ("CountVectorizer", CountVectorizer(), "city", frame),
    ):
        numbers = make_pipeline(SimpleImputer(), p.StandardScaler())
        model = _then_linear(ColumnTransformer([("c", encoder, columns), ("n", numbers, ["age"])]))
        yield f"columns: {what}", model, table, target


def _vectorisers() -> Iterator[tuple[str, Any]]:
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer

    yield "CountVectorizer, bigrams", CountVectorizer(ngram_range=(1, 2))
    yield "CountVectorizer, stop_words", CountVectorizer(stop_words="english")
    yield "CountVectorizer, stop_words, bigrams", CountVectorizer(stop_words=["great"], ngram_range=(1, 2))
    yield "CountVectorizer, lowercase=False", CountVectorizer(lowercase=False)
    yield "CountVectorizer, binary=True", CountVectorizer(binary=True)
    for pattern in (r"(?u)\b\w+\b", r"[a-z]+", r"\S+", r"\d+|\w\w+", r"(\w)\w+", r"(?<=g)\w+"):
        yield (
            f"CountVectorizer, token_pattern=`{pattern.replace('|', chr(92) + '|')}`",
            CountVectorizer(token_pattern=pattern),
        )
    for analyzer in ("char", "char_wb"):
        yield f"TfidfVectorizer, analyzer='{analyzer}'", TfidfVectorizer(analyzer=analyzer, ngram_range=(2, 3))
    yield "CountVectorizer, tokenizer a function", CountVectorizer(tokenizer=str.split, token_pattern=None)
    yield "TfidfVectorizer", TfidfVectorizer()
    yield "TfidfVectorizer, sublinear_tf=True", TfidfVectorizer(sublinear_tf=True)
    yield "TfidfVectorizer, norm='l1'", TfidfVectorizer(norm="l1")
    yield "TfidfVectorizer, strip_accents", TfidfVectorizer(strip_accents="unicode")
    yield "HashingVectorizer", HashingVectorizer(n_features=64)
