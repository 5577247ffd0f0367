"""Samples: rows of a user's data from .npz, .npy, .json, .csv and .parquet, and fitting them to a model's inputs.

A sample is a dict of arrays: 1-D columns by name for tables, arrays by name for .npz and V2 JSON; one table or array
without names is under UNNAMED, and a table of mixed types without names has the columns "0", "1", ...
Text is in object arrays of `str`; `fit` turns it into the `bytes` that BYTES tensors hold.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .csv_table import read_csv, text_array, whole_array
from .errors import BadArtefact, BadRequest, UsageError
from .fitting import UNNAMED, by_name, fit, rows, select
from .tensors import Array

__all__ = ["UNNAMED", "by_name", "fit", "from_frame", "from_json", "read", "rows", "select"]

# documents whose content is under one key: Azure, TensorFlow Serving and KServe V1, MLflow
_WRAPPERS = ("data", "instances", "inputs", "input_data", "dataframe_split", "dataframe_records")
_MISSING = ("NAType", "NaTType")  # pandas' own, by name: it need not be installed
_BESIDE = {"method", "params", "parameters", "signature_name", "global_parameters", "GlobalParameters"}


def read(path: Path, header: bool | None = None) -> dict[str, Array]:
    """A sample from a file, by its suffix. BadArtefact names the file and what was found; UsageError for other kinds.

    `header` is for CSV: whether the first record holds names; None finds out (the rules are in csv_table).
    """
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected a sample")
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        names, columns = read_csv(path, header)
        return _table(names, columns)
    reader = _READERS.get(kind)
    if reader is None:
        raise UsageError(f"{path}: a sample is one of .csv, .tsv, {', '.join(_READERS)}; found {kind or 'no suffix'!r}")
    return reader(path)


def from_json(tree: Any, where: str = "the sample") -> dict[str, Array]:
    """A sample from a parsed JSON document in any of the forms that clients send. BadArtefact if it is none of them.

    V2 request, list of records, dict of columns, list of rows or numbers, {"columns", "data"} (pandas' split form),
    and any of these under "data", "instances", "inputs", "input_data", "dataframe_split" or "dataframe_records".
    """
    if isinstance(tree, dict):
        return _from_object(tree, where)
    if not isinstance(tree, list):
        raise BadArtefact(f"{where}: expected rows, records or columns, found a single {_kind(tree)}")
    if not tree:
        raise BadArtefact(f"{where}: no rows")
    if all(isinstance(row, dict) for row in tree):
        names = list(dict.fromkeys(name for row in tree for name in row))
        return {n: _array([row.get(n) for row in tree], f"{where}: column '{n}'") for n in names}
    return _from_rows(None, tree, where)


def from_frame(frame: Any) -> dict[str, Array]:
    """A sample from a table in memory that has `.columns` and `[name].to_numpy()`: pandas, polars.

    What a frame calls missing (None, NaN, NA, NaT) is a null, as in JSON: NaN among numbers and empty among text.
    """
    names = [str(name) for name in frame.columns]
    if len(set(names)) != len(names):
        raise BadArtefact(f"two columns are called '{Counter(names).most_common(1)[0][0]}'")
    return {str(name): _array(_nulled(frame[name].to_numpy()), f"column '{name}'") for name in frame.columns}


def _nulled(column: Any) -> list[Any]:
    cells: list[Any] = column.tolist()
    if column.dtype.kind != "O":
        return cells
    return [None if type(v).__name__ in _MISSING or (isinstance(v, float) and v != v) else v for v in cells]


def _from_object(tree: Mapping[str, Any], where: str) -> dict[str, Array]:
    if "columns" in tree and "data" in tree and set(tree) <= {"columns", "data", "index"}:
        if not isinstance(tree["columns"], list):
            raise BadArtefact(f'{where}: "columns" is not a list of names, but a {_kind(tree["columns"])}')
        return _from_rows([str(c) for c in tree["columns"]], tree["data"], where)
    if _is_v2(tree):
        return _from_v2(tree, where)
    content = [k for k in tree if k not in _BESIDE]
    if len(content) == 1 and content[0] in _WRAPPERS:
        return from_json(tree[content[0]], where)
    if not tree:
        raise BadArtefact(f"{where}: an empty object; expected columns")
    if all(isinstance(v, dict) for v in tree.values()):  # pandas' default: {column: {index: value}}
        tree = {name: list(column.values()) for name, column in tree.items()}
    if not any(isinstance(v, list) for v in tree.values()):
        tree = {name: [value] for name, value in tree.items()}  # one record
    return {str(n): _array(v, f"{where}: column '{n}'") for n, v in tree.items()}


def _from_v2(tree: Mapping[str, Any], where: str) -> dict[str, Array]:
    from .wire.v2 import decode_request

    try:
        return decode_request(json.dumps(tree).encode()).inputs
    except BadRequest as e:
        raise BadArtefact(f"{where}: {e}") from e


def _is_v2(tree: Mapping[str, Any]) -> bool:
    found = tree.get("inputs")
    return (
        isinstance(found, list)
        and bool(found)
        and all(isinstance(i, dict) and {"name", "datatype", "shape"} <= i.keys() for i in found)
    )


def _from_rows(names: list[str] | None, data: Any, where: str) -> dict[str, Array]:
    if not isinstance(data, list) or not data:
        raise BadArtefact(f"{where}: no rows")
    if isinstance(data[0], list):
        width = len(names) if names is not None else len(data[0])
        for number, row in enumerate(data, 1):
            if not isinstance(row, list) or len(row) != width:
                found = f"{len(row)} values" if isinstance(row, list) else f"a {_kind(row)}"
                raise BadArtefact(f"{where}: row {number} is {found}, expected {width} values")
        if names is not None or not _nested(data[0]):
            columns = [[row[i] for row in data] for i in range(width)]
            return _table(names, [_array(c, f"{where}: column {_called(names, i)}") for i, c in enumerate(columns)])
    elif names is not None and len(names) == 1:
        return {names[0]: _array(data, where)}
    elif names is not None:
        raise BadArtefact(f'{where}: "data" is not a list of rows')
    return {UNNAMED: _array(data, where)}


def _nested(row: Sequence[Any]) -> bool:
    return any(isinstance(v, list) for v in row)


def _called(names: list[str] | None, position: int) -> str:
    return f"'{names[position]}'" if names else str(position + 1)


def _table(names: list[str] | None, columns: list[Array]) -> dict[str, Array]:
    if names is not None:
        return dict(zip(names, columns, strict=True))
    kinds = {a.dtype.kind == "O" for a in columns}
    if len(kinds) > 1 or any(a.ndim != 1 for a in columns):
        return {str(i): a for i, a in enumerate(columns)}
    return {UNNAMED: np.stack(columns, axis=1)}  # numbers, or text, throughout: one matrix


def _array(values: Any, told: str) -> Array:
    """Nested lists as an array: null is NaN among numbers and empty among text; mixtures are an error."""
    try:
        cells = np.array(values, object)
    except ValueError as e:
        raise BadArtefact(f"{told}: the lists differ in length") from e
    flat = cells.ravel().tolist()
    kinds = {type(v) for v in flat}
    gaps = type(None) in kinds
    kinds.discard(type(None))
    if list in kinds:
        raise BadArtefact(f"{told}: the lists differ in length")
    if kinds <= {str}:
        if kinds or not gaps:
            return text_array(["" if v is None else v for v in flat]).reshape(cells.shape)
        return np.full(cells.shape, np.nan)
    if kinds == {bytes} and not gaps:
        return cells
    if kinds == {bool} and not gaps:
        return cells.astype(np.bool_)
    if kinds == {int} and not gaps:
        return whole_array(flat).reshape(cells.shape)
    if kinds <= {int, float, bool}:
        return np.array([np.nan if v is None else v for v in flat], np.float64).reshape(cells.shape)
    found = " and ".join(sorted({_kind(v) for v in flat if v is not None}))
    raise BadArtefact(f"{told}: expected numbers or text, found {found}")


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null", int: "number"}
    return names.get(type(value), "number" if isinstance(value, float) else type(value).__name__)


def _read_json(path: Path) -> dict[str, Array]:
    try:
        tree = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as e:
        raise BadArtefact(f"{path}: not JSON: {e}") from e
    return from_json(tree, str(path))


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        # opened here: numpy leaves its own handle open when the archive is damaged
        with path.open("rb") as f, np.load(f, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as e:
        raise BadArtefact(f"{path}: not an .npz archive of plain arrays: {e}") from e
    if list(found) == ["arr_0"]:  # np.savez(path, array)
        return {UNNAMED: found["arr_0"]}
    return found


def _read_npy(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as f:
            array = np.load(f, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as e:
        raise BadArtefact(f"{path}: not an .npy file of a plain array: {e}") from e
    if not isinstance(array, np.ndarray):
        raise BadArtefact(f"{path}: an archive; name it .npz")
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    return {UNNAMED: array}


def _read_parquet(path: Path) -> dict[str, Array]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as e:
        raise UsageError(f"{path}: reading parquet needs pyarrow: pip install 'gantline[tables]'") from e
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as e:
        raise BadArtefact(f"{path}: not a parquet file: {' '.join(str(e).split())[:200]}") from e
    found = {}
    for name in table.column_names:
        if name.startswith("__index_level_"):
            continue  # pandas' index
        column = table.column(name)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        found[name] = _arrow(column, f"{path}: column '{name}'")
    return found


def _arrow(column: Any, told: str) -> Array:
    numeric = column.null_count == 0 and str(column.type) in _ARROW_NUMBERS
    return column.to_numpy() if numeric else _array(column.to_pylist(), told)


_ARROW_NUMBERS = {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)} | {"float", "double", "halffloat"}
_READERS: dict[str, Callable[[Path], dict[str, Array]]] = {
    ".json": _read_json,
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".parquet": _read_parquet,
}
