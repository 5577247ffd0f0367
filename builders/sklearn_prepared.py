"""Prepared: a fitted estimator in a form that skl2onnx can take, with the same answers. The original is not touched.

Wrappers that only pass on what is inside go; a selector that predicts becomes a pipeline of both; missing texts among
categories become empty ones, as a layout writes them; sparse numbers become dense ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from gantline.errors import Unsupported
from gantline.tensors import Array

_INSIDE = {"FrozenEstimator": "estimator", "SelfTrainingClassifier": "estimator_"}  # class -> what answers for it


def prepared(estimator: Any) -> Any:
    """A shallow copy where something is changed, else the estimator itself."""
    kind = type(estimator).__name__
    inside = "best_estimator_" if hasattr(estimator, "best_estimator_") else _INSIDE.get(kind)
    if inside is not None:
        return prepared(getattr(estimator, inside))
    if kind in ("RFE", "RFECV") and hasattr(estimator.estimator_, "predict"):
        return _pipeline([("select", estimator), ("model", prepared(estimator.estimator_))])
    if kind == "Pipeline":
        return _steps(estimator)
    change = _CHANGES.get(kind)
    return estimator if change is None else change(estimator)


def _pipeline(steps: list[tuple[str, Any]]) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline(steps)


def _steps(pipeline: Any) -> Any:
    *before, (name, last) = pipeline.steps
    steps = [(n, _transforming(step)) for n, step in before]
    final = last if isinstance(last, str) or last is None else prepared(last)
    return _pipeline([*steps, (name, final)])


def _transforming(step: Any) -> Any:
    """A step whose transform() is what counts: a selector stays one, whatever it could predict."""
    if isinstance(step, str) or step is None or type(step).__name__ in ("RFE", "RFECV"):
        return step
    return prepared(step)


def _columns(transformer: Any) -> Any:
    out = copy.copy(transformer)
    out.transformers_ = [(n, _transforming(part), columns) for n, part, columns in transformer.transformers_]
    return out


def _union(union: Any) -> Any:
    out = copy.copy(union)
    out.transformer_list = [(n, _transforming(part)) for n, part in union.transformer_list]
    return out


def _vote(vote: Any) -> Any:
    out = copy.copy(vote)
    out.estimators_ = [prepared(e) for e in vote.estimators_]
    if hasattr(vote, "flatten_transform"):
        out.flatten_transform = False  # concerns transform() alone; the converter refuses True
    weights = vote._weights_not_none  # those of estimators that were dropped left out
    out.weights = None if weights is None else np.asarray(weights, np.float64)
    return out


def _stack(stack: Any) -> Any:
    out = copy.copy(stack)
    out.estimators_ = [prepared(e) for e in stack.estimators_]
    out.final_estimator_ = prepared(stack.final_estimator_)
    return out


def _dense_projection(projection: Any) -> Any:
    from sklearn.random_projection import GaussianRandomProjection

    out = GaussianRandomProjection(projection.n_components)
    out.__dict__.update(projection.__dict__)
    found = projection.components_
    out.components_ = found.toarray() if hasattr(found, "toarray") else found
    return out


def _sublinear(vectoriser: Any) -> Any:
    """Counts, then their weights, where the counts' logarithm is asked for (see `sklearn_functions`)."""
    from sklearn.feature_extraction.text import CountVectorizer

    if not vectoriser.sublinear_tf:
        return vectoriser
    counts = CountVectorizer()
    counts.__dict__.update(vectoriser.__dict__)
    return _pipeline([("counts", counts), ("weights", vectoriser._tfidf)])


def _transformed_target(model: Any) -> Any:
    """The regressor, and after it what undoes the change of the target, if that has a form of its own."""
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    change = model.transformer_
    if isinstance(change, FunctionTransformer):
        undo = FunctionTransformer(change.inverse_func)
    elif isinstance(change, StandardScaler):
        undo = StandardScaler()
        undo.__dict__.update(change.__dict__)
        scale = np.ones(change.n_features_in_) if change.scale_ is None else change.scale_
        mean = np.zeros_like(scale) if change.mean_ is None else change.mean_
        undo.with_mean = undo.with_std = True
        undo.mean_, undo.scale_ = -mean / scale, 1 / scale
    else:
        return model
    return _pipeline([("regressor", prepared(model.regressor_)), ("undo", undo)])


def _no_gaps(encoder: Any) -> Any:
    out = copy.copy(encoder)
    out.categories_ = [without_gaps(c) for c in encoder.categories_]
    return out


def _no_sets(boosting: Any) -> Any:
    """Histogram boosting as it is, unless it splits by sets of categories."""
    if boosting.is_categorical_ is not None:
        raise Unsupported("histogram boosting splits by sets of categories, which skl2onnx does not convert")
    return boosting


def without_gaps(categories: Array) -> Array:
    """Categories of text with an empty text in place of the missing one; numbers as they are."""
    values = categories.tolist()
    if not any(isinstance(v, str) for v in values):
        return categories
    return np.array([v if isinstance(v, str) else "" for v in values], object)


_CHANGES: dict[str, Callable[[Any], Any]] = {
    "ColumnTransformer": _columns,
    "FeatureUnion": _union,
    "VotingClassifier": _vote,
    "VotingRegressor": _vote,
    "StackingClassifier": _stack,
    "StackingRegressor": _stack,
    "SparseRandomProjection": _dense_projection,
    "TfidfVectorizer": _sublinear,
    "TransformedTargetRegressor": _transformed_target,
    "TargetEncoder": _no_gaps,
    "HistGradientBoostingClassifier": _no_sets,
    "HistGradientBoostingRegressor": _no_sets,
}


def known_options(model: Any) -> dict[str, Any] | None:
    """The options that skl2onnx has for a class; None when it cannot say."""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import get_converter

    alias = sklearn_operator_name_map.get(type(model))
    try:
        found = get_converter(alias).get_allowed_options() if alias else None
    except (AttributeError, ValueError):
        return None
    return found if isinstance(found, dict) else None
