"""Prepared: a fitted estimator in a form that skl2onnx can take, with the same answers. The original is not touched.

Wrappers that only pass on what is inside go; a selector that predicts becomes a pipeline of both; missing texts among
categories become empty ones, as a layout writes them; sparse numbers become dense ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

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


def _no_gaps(encoder: Any) -> Any:
    out = copy.copy(encoder)
    out.categories_ = [without_gaps(c) for c in encoder.categories_]
    return out


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
    "TargetEncoder": _no_gaps,
}
