"""Frames: the outputs of a call as a table of the kind that the caller handed in. Imports neither pandas nor polars."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..errors import BadRequest, UsageError
from ..signature import Signature
from ..tensors import Array
from .result import Result

if TYPE_CHECKING:
    import pandas as pd

_INSTALL = "tables need pandas: pip install 'gantline[tables]'"


class Table(Protocol):
    """A pandas or polars DataFrame, as far as it is looked at."""

    @property
    def columns(self) -> Any: ...

    def __getitem__(self, name: Any, /) -> Any: ...


AnyTable = TypeVar("AnyTable", bound=Table)


def is_table(value: object) -> bool:
    """Whether it is a table of columns with names."""
    return hasattr(value, "columns") and hasattr(value, "__getitem__")


def columns_of(result: Result, signature: Signature | None, rows: int | None = None) -> dict[str, Array]:
    """One column for each value that a row has: `name`, or `name_label` (`name_0` without labels) where it has several.

    BadRequest for outputs that are not one row for each row (of `rows`, where these are known), have more than two
    dimensions, or would share the name of a column.
    """
    found: dict[str, Array] = {}
    for name, array in result.items():
        shown = "[" + ",".join(map(str, array.shape)) + "]"
        rows = (array.shape[0] if array.ndim else None) if rows is None else rows
        if array.ndim not in (1, 2) or len(array) != rows:
            what = f"{rows} rows" if rows is not None else "rows"
            raise BadRequest(
                f"model '{result.model}': output '{name}' has shape {shown}, which is no table of {what}; "
                "infer() gives it as an array"
            )
        values = result.text(name) if array.dtype == object else array
        if values.ndim == 1:
            named = {name: values}
        elif values.shape[1] == 1:
            named = {name: values[:, 0]}
        else:
            labels = _labels(name, values.shape[1], signature)
            named = {f"{name}_{label}": values[:, i] for i, label in enumerate(labels)}
        if taken := sorted(named.keys() & found.keys()):
            raise BadRequest(
                f"model '{result.model}': two columns would be called '{taken[0]}'; infer() gives the outputs as arrays"
            )
        found |= named
    return found


def pandas_frame(columns: Mapping[str, Array], index: Any = None) -> pd.DataFrame:
    """A pandas DataFrame of these columns. UsageError where pandas is not installed."""
    try:
        import pandas
    except ImportError as e:
        raise UsageError(_INSTALL) from e
    return pandas.DataFrame(dict(columns), index=index)


def table_like(given: AnyTable, result: Result, signature: Signature) -> AnyTable:
    """The outputs as a table of the same kind as the inputs were, with their index where they have one.

    UsageError for a kind that is neither pandas' nor polars'.
    """
    kind = type(given)
    libraries = {k.__module__.partition(".")[0] for k in kind.__mro__}  # of what it is derived from, too
    rows = len(given)  # type: ignore[arg-type]  # both kinds have a length
    columns = columns_of(result, signature, rows)
    made: Any
    if "pandas" in libraries:
        made = pandas_frame(columns, given.index)  # type: ignore[attr-defined]  # as pandas' have
    elif "polars" in libraries:
        made = sys.modules["polars"].DataFrame({n: a.tolist() if a.dtype == object else a for n, a in columns.items()})
    else:
        raise UsageError(f"a table of {kind.__module__}.{kind.__qualname__}: hand in a pandas or polars DataFrame")
    return made  # type: ignore[no-any-return]  # of the kind that was given


def _labels(name: str, width: int, signature: Signature | None) -> list[str]:
    spec = signature.output(name) if signature is not None else None
    if spec is not None and len(spec.labels) == width and len(set(spec.labels)) == width:
        return list(spec.labels)
    return np.arange(width).astype(str).tolist()
