"""Ranges: what a fitted estimator remembers of the data it saw, column by column, and rows drawn from that.

Known are scalers (mean and deviation, minimum and maximum, quantiles), encoders (categories), trees (thresholds),
histogram boosting (bin edges), stored rows (neighbours, support vectors, Gaussian processes), centres, naive Bayes,
PCA and vocabularies. Where nothing is known a column is standard normal, and the package says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gantline.tensors import Array

from .boosters import boosted_ranges
from .ranges import SEED, Range, Ranges, cast, column, joined
from .sklearn_layout import Layout, places_of
from .sklearn_members import members


def sampler(estimator: Any, layout: Layout) -> tuple[Callable[[int], dict[str, Array]], bool]:
    """A function from a number of rows to inputs, always the same; and whether every column's range is known."""
    width = layout.inputs[0].shape[1] if layout.matrix else len(layout.inputs)
    found = _by_input(estimator, layout, width)

    def draw(rows: int) -> dict[str, Array]:
        random = np.random.default_rng(SEED)
        columns = [column(r, rows, random, at) for at, r in enumerate(found)]
        if not layout.matrix:
            return {t.name: cast(c, t.datatype).reshape(rows, 1) for t, c in zip(layout.inputs, columns, strict=True)}
        spec = layout.inputs[0]
        return {spec.name: np.stack([cast(c, spec.datatype) for c in columns], axis=1)}

    return draw, all(r is not None for r in found)


def _by_input(estimator: Any, layout: Layout, width: int) -> Ranges:
    names = [str(n) for n in getattr(estimator, "feature_names_in_", ())]
    if layout.matrix or not names:
        return ranges_of(estimator, width)
    every = ranges_of(estimator, len(names))
    return [every[names.index(t.name)] for t in layout.inputs]


def ranges_of(estimator: Any, width: int) -> Ranges:
    """What is known of each of the estimator's input columns."""
    if estimator is None or isinstance(estimator, str):
        return [None] * width
    if hasattr(estimator, "best_estimator_"):
        return ranges_of(estimator.best_estimator_, width)
    if (known := boosted_ranges(estimator, width)) is not None:
        return known
    if hasattr(estimator, "steps"):
        return _of_pipeline([s for _, s in estimator.steps], width)
    if hasattr(estimator, "transformers_"):
        return _of_columns(estimator, width)
    if getattr(estimator, "_preprocessor", None) is not None:
        return _of_boosting(estimator, width)
    own = _own(estimator, width)
    if any(r is not None for r in own):
        return own
    parts = [getattr(estimator, n) for n in ("estimator_", "regressor_", "estimator") if hasattr(estimator, n)]
    inner = getattr(estimator, "estimators_", None)
    if inner is not None:
        parts = list(members(inner))
    parts += [c.estimator for c in getattr(estimator, "calibrated_classifiers_", ())]
    subsets = getattr(estimator, "estimators_features_", None)
    out: Ranges = [None] * width
    for at, part in enumerate(parts):
        places = range(width) if subsets is None else [int(p) for p in subsets[at]]
        for place, one in zip(places, ranges_of(part, len(places)), strict=False):
            # that one part takes missing values does not say that the others do
            out[place] = joined(out[place], replace(one, missing=False) if one is not None else None)
    return out


def _of_pipeline(steps: Sequence[Any], width: int) -> Ranges:
    """The first step that knows something; imputers are looked through, and make NaN occur."""
    missing = [False] * width
    out: Ranges = [None] * width
    for step in steps:
        if isinstance(step, str) or step is None:
            continue
        if hasattr(step, "statistics_") and len(step.statistics_) == width:
            missing = [isinstance(v, float | np.floating) for v in step.statistics_]
            continue
        out = ranges_of(step, width)
        break
    holes = zip(out, missing, strict=True)
    return [Range(r.low, r.high, r.values, True, r.words) if r and gap and not r.values else r for r, gap in holes]


def _of_columns(transformer: Any, width: int) -> Ranges:
    out: Ranges = [None] * width
    for _, part, columns in transformer.transformers_:
        places = places_of(columns, transformer)
        for place, one in zip(places, ranges_of(part, len(places)), strict=True):
            out[place] = joined(out[place], one)
    return out


def _of_boosting(model: Any, width: int) -> Ranges:
    """Histogram boosting with categories, which an encoder inside it puts before all numbers."""
    out = _of_columns(model._preprocessor, width)
    chosen = np.asarray(model.is_categorical_)
    order = [*np.flatnonzero(chosen), *np.flatnonzero(~chosen)]
    for place, edges in zip(order, _edges(model, width) or (), strict=False):
        if out[place] is None and len(edges):
            out[place] = Range(float(edges.min()), float(edges.max()))
    return out


def _own(one: Any, width: int) -> Ranges:
    if hasattr(one, "vocabulary_") and isinstance(one.vocabulary_, dict):
        return [Range(words=tuple(sorted(str(w) for w in one.vocabulary_)[:1000]))]
    categories = getattr(one, "categories_", None)
    if isinstance(categories, list | tuple) and len(categories) == width:
        return [Range(values=tuple(v for v in np.asarray(c).tolist() if v is not None and v == v)) for c in categories]
    edges = _edges(one, width)
    if edges is not None:
        return [Range(float(np.min(e)), float(np.max(e))) if len(e) else None for e in edges]
    for rows in _stored(one):
        if rows.ndim == 2 and rows.shape[1] == width and len(rows):
            return _between(rows.min(axis=0), rows.max(axis=0))
    low_high = _spread(one)
    if low_high is not None and np.shape(low_high[0]) == (width,):
        return _between(*low_high)
    return [None] * width


def _edges(one: Any, width: int) -> list[Array] | None:
    """Sorted values of each column that decide something: bins, quantiles, thresholds of one tree."""
    tree = getattr(one, "tree_", None)
    if tree is not None:
        inner = tree.children_left >= 0
        # a split between missing and known values alone has an infinite threshold
        inner &= np.isfinite(tree.threshold)
        return [tree.threshold[inner & (tree.feature == f)] for f in range(width)]
    mapper = getattr(one, "_bin_mapper", None)
    found = getattr(mapper, "bin_thresholds_", None) if mapper is not None else getattr(one, "bin_edges_", None)
    if found is None and hasattr(one, "quantiles_"):
        found = list(np.asarray(one.quantiles_).T)
    if found is None or len(found) != width:
        return None
    return [np.asarray(f, np.float64)[np.isfinite(np.asarray(f, np.float64))] for f in found]


def _stored(one: Any) -> Iterable[Array]:
    for name in ("_fit_X", "X_train_", "support_vectors_", "cluster_centers_", "X_fit_"):
        found = getattr(one, name, None)
        if isinstance(found, np.ndarray) and found.dtype.kind == "f":
            yield found


def _spread(one: Any) -> tuple[Array, Array] | None:
    def has(*names: str) -> bool:
        return all(isinstance(getattr(one, n, None), np.ndarray) for n in names)

    if has("data_min_", "data_max_"):
        return one.data_min_, one.data_max_
    if has("center_", "scale_"):
        return one.center_ - 2 * one.scale_, one.center_ + 2 * one.scale_
    if has("max_abs_"):
        return -one.max_abs_, one.max_abs_
    if has("mean_", "components_", "explained_variance_"):
        wide = np.sqrt(np.sum(one.components_**2 * one.explained_variance_[:, None], axis=0))
        return one.mean_ - 2 * wide, one.mean_ + 2 * wide
    if has("mean_", "scale_"):
        return one.mean_ - 2 * one.scale_, one.mean_ + 2 * one.scale_
    if has("mean_", "var_"):
        return one.mean_ - 2 * np.sqrt(one.var_), one.mean_ + 2 * np.sqrt(one.var_)
    if has("theta_", "var_"):
        wide = 2 * np.sqrt(one.var_)
        return (one.theta_ - wide).min(axis=0), (one.theta_ + wide).max(axis=0)
    if has("means_") and one.means_.ndim == 2:
        low, high = one.means_.min(axis=0), one.means_.max(axis=0)
        return low - (high - low), high + (high - low)
    return None


def _between(low: Array, high: Array) -> Ranges:
    return [Range(float(a), float(b)) for a, b in zip(low, high, strict=True)]
