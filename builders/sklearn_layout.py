"""Layout: how a fitted scikit-learn estimator's table becomes named tensors, and back.

- Numbers only: one input `X`, FP32 [-1, n_features].
- Text only (a matrix of strings, or documents for a vectoriser): one input `X`, BYTES [-1, n] or [-1, 1].
- Fitted on a data frame and mixed, split by a ColumnTransformer, or a booster of named categories: one input a column,
  named by it, [-1, 1]: text is BYTES, integer categories are INT64, categories that float32 cannot hold are FP64,
  everything else FP32.
  Columns that are dropped are no inputs.

An empty text stands for a missing one in a column in which the estimator has met missing texts: no BYTES tensor can say
it otherwise. What is FP32 here may become FP64 yet, when the answers hang on it: see sklearn_width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gantline.errors import BadArtefact, BadRequest, Unsupported
from gantline.fitting import UNNAMED
from gantline.signature import TensorSpec
from gantline.tensors import Array

from .boosters import face_in

MATRIX = "X"


@dataclass(frozen=True, slots=True)
class Layout:
    """The inputs, and what the estimator is given for them. `columns`: the data frame's, in order; empty: an array."""

    inputs: tuple[TensorSpec, ...]
    columns: tuple[str, ...] = ()
    documents: bool = False  # the estimator takes a flat list of texts
    gaps: tuple[tuple[int, str], ...] = ()  # inputs (or columns of `X`) where an empty text is "nan" or "none"
    single: bool = False  # the estimator was fitted in float32 and takes nothing wider

    @property
    def matrix(self) -> bool:
        """Whether all goes in as one tensor `X`."""
        return len(self.inputs) == 1 and self.inputs[0].name == MATRIX

    def table(self, inputs: Mapping[str, Array]) -> Any:
        """What the estimator takes: floats are widened to float64, as it was most likely fitted; bytes become str."""
        floats = np.dtype(np.float32 if self.single else np.float64)
        if not self.matrix:
            columns = {t.name: _column(inputs[t.name], floats).reshape(-1) for t in self.inputs}
            for at, kind in self.gaps:
                _open_gaps(columns[self.inputs[at].name], kind)
            return _frame(columns)
        values = _column(inputs[MATRIX], floats)
        for at, kind in self.gaps:
            _open_gaps(values[:, at], kind)
        if self.documents:
            return values.reshape(-1)
        if self.columns and _pandas() is not None:
            return _frame({name: values[:, i] for i, name in enumerate(self.columns)})
        return values

    def with_gaps(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs with an empty text in every other row of each column that may have one."""
        out = {n: a.copy() for n, a in inputs.items()}
        for at, _ in self.gaps:
            column = out[MATRIX][:, at] if self.matrix else out[self.inputs[at].name]
            column[::2] = b""
        return out

    def chosen(self, sample: Mapping[str, Array]) -> dict[str, Array]:
        """The sample's columns that are the estimator's, by name and in its order, when it has names.

        BadRequest lists the missing columns; a sample without names is passed on as it is.
        """
        names = self.columns or tuple(t.name for t in self.inputs)
        if not self.columns or list(sample) == [UNNAMED] or set(sample) == {MATRIX}:
            return dict(sample)
        missing = [n for n in names if n not in sample]
        if missing and not set(sample) - {str(i) for i in range(len(sample))}:
            return dict(sample)  # numbered, not named
        if missing:
            raise BadRequest(
                f"--sample: the model was fitted on columns {_listed(names)}; the sample lacks {_listed(missing)}, "
                f"it has {_listed(tuple(sample))}"
            )
        return {n: sample[n] for n in names}


def layout_of(estimator: Any, sample: Mapping[str, Array] | None) -> Layout:
    """How the estimator's input is laid out: from what it knows of its fit, else from the sample."""
    names = tuple(str(n) for n in getattr(estimator, "feature_names_in_", ()))
    width = _width(estimator, names, sample)
    kinds = dict(enumerate("FP32" for _ in range(width)))
    kinds.update({at: kind for at, kind in kinds_of(estimator, width) if at < width})
    for at, name in enumerate(names):
        if sample is not None and name in sample and sample[name].dtype.kind in "OUS":
            kinds[at] = "BYTES"
    transformer = column_transformer(estimator)
    mixed = len(set(kinds.values())) > 1
    face = face_in(estimator)
    apart = transformer is not None or (face is not None and bool(face.categories))
    if names and (mixed or apart):
        used = _used(transformer, names) if transformer is not None else range(len(names))
        specs = tuple(TensorSpec(names[i], kinds[i], (-1, 1)) for i in used)
        gaps = dict(gaps_of(estimator, width))
        found_gaps = tuple((at, gaps[i]) for at, i in enumerate(used) if i in gaps and kinds[i] == "BYTES")
        return Layout(specs, tuple(names[i] for i in used), gaps=found_gaps)
    if mixed and "BYTES" in kinds.values():
        raise BadArtefact(
            "the estimator takes columns of several types but was fitted without column names; "
            "fit it on a data frame, so that each column becomes an input of its own"
        )
    found = set(kinds.values())
    kind = next((k for k in ("BYTES", "FP64") if k in found), "FP32")
    gaps_in_matrix = tuple(sorted(dict(gaps_of(estimator, width)).items())) if kind == "BYTES" else ()
    return Layout((TensorSpec(MATRIX, kind, (-1, width)),), names, takes_documents(estimator), gaps_in_matrix)


def column_transformer(estimator: Any) -> Any:
    """The ColumnTransformer that sees the estimator's input first, or None."""
    from sklearn.compose import ColumnTransformer

    return next((e for e in _first_seen(estimator) if isinstance(e, ColumnTransformer)), None)


def takes_documents(estimator: Any) -> bool:
    """Whether the first step reads texts: a flat sequence of strings."""
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

    return any(isinstance(e, CountVectorizer | HashingVectorizer) for e in _first_seen(estimator))


def kinds_of(estimator: Any, width: int) -> Iterator[tuple[int, str]]:
    """(column, datatype) for columns whose fitted encoder or imputer tells that they are no plain numbers."""
    for one in _first_seen(estimator):
        if (face := face_in(one)) is not None:
            yield from face.kinds
            return
        if hasattr(one, "transformers_"):
            for _, part, columns in one.transformers_:
                places = places_of(columns, one)
                if not isinstance(part, str):
                    for at, kind in kinds_of(part, len(places)):
                        yield places[at], kind
            return
        if takes_documents(one):
            yield 0, "BYTES"
            return
        values = getattr(one, "categories_", None)
        if values is None and hasattr(one, "statistics_"):
            text = _is_text(one.statistics_)
            values = [np.array([v]) for v in np.asarray(one.statistics_, object)] if text else None
        if isinstance(values, list | tuple):
            for at, known in enumerate(values):
                kind = np.asarray(known).dtype.kind
                if kind in "OUST":
                    yield at, "BYTES"
                elif kind in "iu":
                    yield at, "INT64"
                elif kind == "f" and not _single(np.asarray(known)):
                    yield at, "FP64"  # 4.4 in float32 would be no category any more
            return


def gaps_of(estimator: Any, width: int) -> Iterator[tuple[int, str]]:
    """(column, "nan" or "none") for columns of text in which a fitted encoder or imputer knows a missing value."""
    for one in _first_seen(estimator):
        if (face := face_in(one)) is not None:
            yield from (
                (at, "nan") for at, known in face.categories.items() if isinstance(known[0], str) and "" not in known
            )
            return
        if hasattr(one, "transformers_"):
            for _, part, columns in one.transformers_:
                places = places_of(columns, one)
                if not isinstance(part, str):
                    for at, kind in gaps_of(part, len(places)):
                        yield places[at], kind
            return
        if isinstance(known := getattr(one, "categories_", None), list | tuple):
            for at, values in enumerate(known):
                if kind := _gap(np.asarray(values, object).tolist()):
                    yield at, kind
            return
        if hasattr(one, "statistics_") and hasattr(one, "missing_values"):
            for at, value in enumerate(np.asarray(one.statistics_, object).tolist()):
                if kind := _gap([value, one.missing_values]):
                    yield at, kind
            return


def _gap(values: list[Any]) -> str:
    """How a missing text is spelled among these; nothing when none is, or when the empty text is one of them."""
    if not any(isinstance(v, str) for v in values) or "" in values:
        return ""
    if any(isinstance(v, float) and v != v for v in values):
        return "nan"
    return "none" if None in values else ""


def _single(values: Array) -> bool:
    """Whether every number survives float32."""
    with np.errstate(over="ignore"):
        return np.array_equal(values.astype(np.float32).astype(np.float64), values, equal_nan=True)


def _is_text(values: Any) -> bool:
    found = np.asarray(values)
    return found.dtype.kind in "US" or (found.dtype.kind == "O" and any(isinstance(v, str) for v in found))


def _first_seen(estimator: Any) -> Iterator[Any]:
    """The estimators that get the input as it came: through searches and wrappers, into a pipeline's first step."""
    yield estimator
    inner = getattr(estimator, "best_estimator_", None)
    if inner is None and hasattr(estimator, "steps"):
        inner = next((s for _, s in estimator.steps if s is not None and s != "passthrough"), None)
    if inner is None:
        inner = getattr(estimator, "_preprocessor", None)  # of histogram boosting with categories
    if inner is None:
        names = ("estimator_", "regressor_", "classifier_")
        inner = next((getattr(estimator, n) for n in names if hasattr(estimator, n)), None)
    if inner is None:
        parts = getattr(estimator, "estimators_", None)
        if isinstance(parts, list) and parts and hasattr(parts[0], "steps"):
            inner = parts[0]
    if inner is not None and not isinstance(inner, str):
        yield from _first_seen(inner)


def places_of(columns: Any, transformer: Any) -> list[int]:
    """Positions of a ColumnTransformer's columns, however they were named."""
    names = [str(n) for n in getattr(transformer, "feature_names_in_", ())]
    width = int(transformer.n_features_in_)
    if isinstance(columns, slice):
        ends = [names.index(e) if isinstance(e, str) else e for e in (columns.start, columns.stop)]
        stop = ends[1] + 1 if isinstance(columns.stop, str) else ends[1]
        return list(range(width))[slice(ends[0], stop, columns.step)]
    found = np.atleast_1d(np.asarray(columns))
    if found.dtype.kind == "b":
        return np.flatnonzero(found).tolist()
    return [names.index(str(c)) if isinstance(c, str) else int(c) % width for c in found.tolist()]


def _used(transformer: Any, names: tuple[str, ...]) -> list[int]:
    found: set[int] = set()
    for _, part, columns in transformer.transformers_:
        if not (isinstance(part, str) and part == "drop"):
            found.update(places_of(columns, transformer))
    return sorted(found)


def _width(estimator: Any, names: tuple[str, ...], sample: Mapping[str, Array] | None) -> int:
    if names:
        return len(names)
    if takes_documents(estimator):
        return 1
    _check_table(estimator)
    known = getattr(estimator, "n_features_in_", None)
    if known is not None:
        return int(known)
    if sample is None:
        raise BadArtefact("the estimator does not know how many columns it takes; package it with --sample")
    first = next(iter(sample.values()))
    return int(first.shape[1]) if len(sample) == 1 and first.ndim == 2 else len(sample)


def _check_table(estimator: Any) -> None:
    """BadArtefact for what reads no table: dictionaries, labels, pictures."""
    tags = getattr(estimator, "__sklearn_tags__", None)
    if tags is None:
        return  # before 1.6
    found = tags().input_tags
    if not (found.two_d_array or found.one_d_array or found.string):
        reads = "dictionaries" if found.dict else "pictures" if found.three_d_array else "labels"
        raise BadArtefact(
            f"{type(estimator).__name__} reads {reads}, not a table of columns: "
            "package a scoring script that calls it: --script"
        )


def _column(values: Array, floats: np.dtype[Any]) -> Array:
    if values.dtype.kind == "O":
        text = np.empty(values.shape, object)
        flat = [v.decode("utf-8", "surrogateescape") if isinstance(v, bytes) else str(v) for v in values.flat]
        text.ravel()[:] = flat
        return text
    return values.astype(floats) if values.dtype.kind == "f" else values


def _open_gaps(texts: Array, kind: str) -> None:
    """Put the missing value in place of each empty text."""
    texts[texts == ""] = np.nan if kind == "nan" else None


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        return None
    return pandas


def _frame(columns: Mapping[str, Array]) -> Any:
    pandas = _pandas()
    if pandas is None:
        raise Unsupported("the estimator was fitted on a data frame: install pandas (pip install 'gantline[tables]')")
    # as objects, where pandas would read None as NaN
    return pandas.DataFrame({n: pandas.Series(c, dtype=c.dtype) for n, c in columns.items()})


def _listed(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(f"'{n}'" for n in names[:8])
    return shown + (", ..." if len(names) > 8 else "")
