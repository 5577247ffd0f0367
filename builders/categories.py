"""Categories: columns of a booster that are words or numbers to its users, and codes to its trees.

LightGBM and XGBoost (from 3.1 on) remember the categories of the data frame that they were trained on, and turn them
into codes themselves. A package does the same, so that its clients send what the model's user has in hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from gantline.tensors import Array

Known: TypeAlias = tuple[str | int | float, ...]  # the category of code 0, of code 1, ...
Categories: TypeAlias = dict[int, Known]  # by the column's place
UNKNOWN = "?"


def usable(values: Iterable[Any]) -> Known:
    """Categories that a tensor can say: all texts, or all numbers. Nothing for others, such as dates."""
    known = tuple(v.item() if isinstance(v, np.generic) else v for v in values)
    texts = all(isinstance(v, str) for v in known)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
    return known if texts or numbers else ()


def datatype_of(known: Known) -> str:
    """What a client sends: text, or floats (a missing value must be possible) of the width that the numbers need."""
    if isinstance(known[0], str):
        return "BYTES"
    exact = np.array(known, np.float64)
    return "FP32" if np.array_equal(exact.astype(np.float32).astype(np.float64), exact) else "FP64"


def with_unknown(known: Known) -> Known:
    """The categories and one that is none of them, to be drawn from."""
    texts = [k for k in known if isinstance(k, str)]
    if texts:
        return (*known, UNKNOWN * (1 + max(map(len, texts))))
    return (*known, max(float(k) for k in known) + 1)


def framed(table: Any, categories: Mapping[int, Known]) -> Any:
    """The data frame as the frameworks take it: with these columns categorical.

    A category that is not known stays one, after those that are: what becomes of it is for the framework to say.
    """
    import pandas

    out = table.copy()
    for at, known in categories.items():
        values = _numbered(table.iloc[:, at], known)
        others = sorted({v for v in values if v is not None} - set(known))
        out[table.columns[at]] = pandas.Categorical(values, categories=[*known, *others])
    return out


def coded(table: Any, categories: Mapping[int, Known]) -> Array:
    """The data frame as the trees see it: numbers, with NaN for what is missing or not known."""
    columns = []
    for at in range(table.shape[1]):
        values: Any = table.iloc[:, at]
        if at in categories:
            codes = {v: float(code) for code, v in enumerate(categories[at])}
            values = [codes.get(v, np.nan) for v in _numbered(values, categories[at])]
        columns.append(np.asarray(values, np.float64))
    return np.stack(columns, axis=1)


def _numbered(values: Iterable[Any], known: Known) -> list[Any]:
    """Values with None for missing ones, and whole numbers as such where the categories are."""
    whole = all(isinstance(k, int) for k in known)
    out: list[Any] = []
    for value in values:
        if value is None or value != value:
            out.append(None)
        else:
            out.append(int(value) if whole and value == int(value) else value)
    return out


# the first of these two, for a script that has nothing of Gantline's
SCRIPT = """
def framed(name, values):
    import pandas

    known = CATEGORIES[name]
    whole = all(isinstance(k, int) for k in known)
    missing = [v != v or (v == "" and "" not in known) for v in values]
    values = [None if gap else int(v) if whole and v == int(v) else v for v, gap in zip(values, missing)]
    others = sorted({v for v in values if v is not None} - set(known))
    return pandas.Categorical(values, categories=[*known, *others])
"""
