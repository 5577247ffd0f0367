"""Tables and nested lists, from JSON or CSV, as a model's inputs: by the signature's names, datatypes and shapes.

- A table's columns go to the inputs of the same names. If the model takes one matrix, they are its columns: by name
  where the package knows these names, else in the order in which they come. Columns that nobody asks for are left out.
- A list without names goes to the single input, or column by column to as many inputs.
- A gap (null, or an empty CSV cell) is NaN among numbers and the empty text among texts; where there are integers or
  truth values it is an error. true and false count as 1 and 0 among numbers, 3.0 is an integer; text is no number.
- A CSV body's first record is a header if it holds all names that the model knows; or only cells that are no numbers,
  although the model takes nothing but numbers; or counts 0, 1, 2, ..., as pandas calls columns without names.

No message holds what a client sent: only what the model takes, and where the fault lies.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import chain
from math import inf
from typing import Any

import numpy as np

from ..csv_table import MISSING
from ..errors import BadRequest, TooLarge
from ..fitting import shaped
from ..signature import Signature, TensorSpec
from ..tensors import Array
from .v2_tensors import MAX_DIMENSIONS, from_values, shape_of

_FLOATS = frozenset(("FP16", "BF16", "FP32", "FP64"))
_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_SHOWN = 8
_FEATURES = "features"
# a column is made for each name that any of the records has: so many cells for each that was sent, and so many more
_SPARSE, _FEW = 16, 1 << 20


class Table:
    """How one model reads tables. `columns`: the names of its one matrix's columns, in order, where they are known."""

    __slots__ = ("_names", "columns", "inputs")

    def __init__(self, signature: Signature, columns: Sequence[str] = ()) -> None:
        self.inputs = signature.inputs
        self.columns = tuple(columns) if len(self.inputs) == 1 else ()
        self._names = self.columns or tuple(t.name for t in self.inputs)

    def nested(self, data: Any) -> dict[str, Array]:
        """Inputs from nested lists without names, or from one bare value. BadRequest if they do not fit."""
        if len(self.inputs) == 1:
            return {self.inputs[0].name: tensor(self.inputs[0], data)}
        rows = self._checked(data, len(self.inputs))
        return self.columnar(dict(zip((t.name for t in self.inputs), zip(*rows, strict=True), strict=True)))

    def columnar(self, columns: Mapping[str, Any]) -> dict[str, Array]:
        """Inputs from one list a column, or one nested list an input, by name."""
        if columns and all(t.name in columns for t in self.inputs if not t.optional):
            return {t.name: tensor(t, columns[t.name]) for t in self.inputs if t.name in columns}
        if len(self.inputs) != 1 or not columns:
            raise self._missing(columns)
        chosen = self.columns or tuple(columns)
        if not columns.keys() >= set(chosen):
            raise self._missing(columns)
        lists = [columns[n] for n in chosen]
        if not all(isinstance(c, list | tuple) for c in lists):
            raise BadRequest("a column is not a list of values")
        if len({len(c) for c in lists}) > 1:
            raise BadRequest("the columns differ in length")
        return {self.inputs[0].name: tensor(self.inputs[0], list(map(list, zip(*lists, strict=True))))}

    def rows(self, names: Sequence[str] | None, data: Any) -> dict[str, Array]:
        """Inputs from a list of rows, whose columns have these names or none."""
        if names is None or self._unnamed(names):
            return self.nested(data)
        if len(set(names)) != len(names):
            raise BadRequest("two columns have the same name")
        rows = self._checked(data, len(names))
        if self.in_order(names):
            return {self.inputs[0].name: tensor(self.inputs[0], rows)}
        return self.columnar(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))

    def in_order(self, names: Sequence[str] | None) -> bool:
        """Whether rows with such columns are the model's one matrix as they stand."""
        if len(self.inputs) != 1 or names is None:
            return len(self.inputs) == 1
        return self._unnamed(names) or (
            tuple(names) == self.columns if self.columns else self.inputs[0].name not in names
        )

    def records(self, data: Any) -> dict[str, Array]:
        """Inputs from a list of objects, one a row; what a row does not have is a gap."""
        if type(data) is not list or not all(type(r) is dict for r in data):
            raise BadRequest("the records are not a list of objects")
        if not data:
            raise BadRequest("there are no rows")
        known = set(self._names)
        names = dict.fromkeys(chain.from_iterable(data))
        if self.columns or len(self.inputs) > 1 or known <= names.keys():
            names = dict.fromkeys(n for n in names if n in known)
        if len(names) * len(data) > _SPARSE * sum(map(len, data)) + _FEW:
            raise TooLarge("the records have hardly a name in common: send lists, or records with all of their values")
        return self.columnar({n: [r.get(n) for r in data] for n in names})

    def lines(self, values: list[Any]) -> dict[str, Array]:
        """Inputs from one value a row: a list, an object by column, or a bare value.

        {"features": [...]}, which Amazon's own algorithms take, is a list where no column has that name.
        """
        objects = sum(type(v) is dict for v in values)
        if not objects:
            return self.nested(values)
        if objects != len(values):
            raise BadRequest("some lines are objects, others are not")
        if _FEATURES not in self._names and all(list(v) == [_FEATURES] for v in values):
            return self.nested([v[_FEATURES] for v in values])
        return self.records(values)

    def text(self, body: bytes, header: bool | None = None) -> dict[str, Array]:
        """Inputs from a CSV body; `header`: whether the first record holds names, None to find out."""
        records = _records(body)
        if header or (header is None and self._is_header(records[0])):
            names, records = [c.strip() for c in records[0]], records[1:]
            if not records:
                raise BadRequest("the CSV body has a header and no rows")
            if names[0] == "" and "" not in self._names:  # pandas' index
                names, records = names[1:], [r[1:] for r in records]
            if len(set(names)) == len(names) and set(self._names) <= set(names):
                found = {n: i for i, n in enumerate(names)}
                places = [found[n] for n in self._names]
                return self._typed([[r[i] for i in places] for r in records])
            if not _counting(names) and (self.columns or len(self.inputs) > 1):
                raise self._missing(names)
        return self._typed(records)

    def _unnamed(self, names: Sequence[str]) -> bool:
        return _counting(names) and not set(names) & set(self._names)

    def _typed(self, records: list[list[str]]) -> dict[str, Array]:
        """Inputs from CSV cells, whose columns are the model's in its own order."""
        if len(self.inputs) == 1:
            spec = self.inputs[0]
            rows = [[_cell(c, spec.datatype, i) for c in r] for i, r in enumerate(records, 1)]
            return {spec.name: tensor(spec, rows)}
        rows = self._checked(records, len(self.inputs))
        return {
            t.name: tensor(t, [_cell(r[at], t.datatype, i) for i, r in enumerate(rows, 1)])
            for at, t in enumerate(self.inputs)
        }

    def _is_header(self, first: list[str]) -> bool:
        cells = [c.strip() for c in first]
        if set(self._names) <= set(cells):
            return True
        shown = cells[1:] if cells[0] == "" else cells
        if all(t.datatype != "BYTES" for t in self.inputs) and not any(_is_number(c) for c in shown):
            return True
        return len(shown) > 1 and _counting(shown)

    def _checked(self, data: Any, width: int) -> list[list[Any]]:
        """The rows, once it is sure that each of them has that many values."""
        if type(data) is not list or not data:
            raise BadRequest("there are no rows: expected a list of them")
        for number, row in enumerate(data, 1):
            if type(row) is not list:
                raise BadRequest(f"row {number} is not a list; the model takes {self._takes()}")
            if len(row) != width:
                raise BadRequest(f"row {number} has {len(row)} values, expected {width}")
        return data

    def _missing(self, found: Mapping[str, Any] | Sequence[str]) -> BadRequest:
        names = self.columns or tuple(t.name for t in self.inputs if not t.optional)
        there = set(found)
        missing = [n for n in names if n not in there]
        return BadRequest(f"missing columns {_listed(missing)}; the model takes {self._takes()}")

    def _takes(self) -> str:
        return _listed(self._names)


def tensor(spec: TensorSpec, data: Any) -> Array:
    """One input from nested lists, or from a bare value. BadRequest if they have not its datatype or shape."""
    told = f"input '{spec.name}'"
    values = list(data) if isinstance(data, list | tuple) else [data]
    shape = shape_of(values)
    if 0 in shape:
        raise BadRequest(f"{told}: there are no values")
    if len(shape) > MAX_DIMENSIONS:
        raise TooLarge(f"{told}: nested more than {MAX_DIMENSIONS} deep")
    try:
        array = from_values(spec.name, spec.datatype, shape, values)
    except BadRequest:
        array = from_values(spec.name, spec.datatype, shape, _eased(values, spec.datatype, shape))
    return shaped(array, spec, told)


def _eased(values: list[Any], datatype: str, shape: list[int]) -> list[Any]:
    """The same values, flat, with gaps, truth values and whole floats as the datatype spells them."""
    try:
        cells = np.array(values, object)
    except ValueError:
        return values  # ragged: the error is another
    if list(cells.shape) != shape:
        return values
    flat: list[Any] = cells.ravel().tolist()
    if datatype in _FLOATS:
        return [float(v) if type(v) is bool else v for v in flat]
    if datatype == "BYTES":
        return ["" if v is None else v for v in flat]
    if datatype == "BOOL":
        return [bool(v) if type(v) is int and v in (0, 1) else v for v in flat]
    return [int(v) if type(v) is bool or (type(v) is float and v.is_integer()) else v for v in flat]


def _cell(cell: str, datatype: str, row: int) -> Any:
    """A CSV cell as what JSON would have said. BadRequest names the row."""
    if datatype == "BYTES":
        return cell
    text = cell.strip()
    if datatype == "BOOL":
        if text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        raise BadRequest(f"row {row} holds a cell that is neither true nor false")
    if datatype in _FLOATS:
        if text in MISSING and text != "?":
            return None
        if _is_number(text):
            return float(text)
    elif text.removeprefix("-").isdecimal() and len(text) < 25:
        return int(text)
    elif _is_number(text):
        return float(text)
    raise BadRequest(f"row {row} holds a cell that is not a number, where the model takes {datatype}")


def _is_number(cell: str) -> bool:
    try:
        value = float(cell)
    except ValueError:
        return False
    return "_" not in cell and (abs(value) != inf or "inf" in cell.lower())


def _records(body: bytes) -> list[list[str]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise BadRequest(f"the CSV body is not UTF-8: byte {e.start}") from e
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        records = [r for r in reader if r]
    except csv.Error as e:
        raise BadRequest(f"the CSV body is damaged at line {reader.line_num}: {e}") from e
    if not records:
        raise BadRequest("the CSV body is empty")
    for number, record in enumerate(records, 1):
        if len(record) != len(records[0]):
            raise BadRequest(f"record {number} has {len(record)} fields, expected {len(records[0])} as in the first")
    return records


def _counting(names: Sequence[str]) -> bool:
    """Whether columns are called 0, 1, 2, ..., which is pandas' way of having no names."""
    return list(names) == [str(i) for i in range(len(names))]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{n}'" for n in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return shown or "none"
