"""A CSV file as named columns: delimiter, header and types found by rules that are written down here.

Delimiter: whichever of comma, semicolon, tab and bar splits the first records into the same number of fields (> 1).
Header: the first record is one if its cells differ from each other, none (but the first) is empty, and either none of
them is a number, or one of them is text above a column of numbers only. A file of text alone is thus taken to
have a header; `header=False` says otherwise. A first record of numbers is always data.
Index: a first column without a name that counts 0, 1, 2, ... is pandas' index and is left out.
Types: all true/false: bool; whole numbers: int64 (uint64); numbers and gaps: float64 with NaN; anything else: text.
Numbers with leading zeros (02134) are text, so that a post code stays one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BadArtefact
from .tensors import Array

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"})
_TRUTH = {"true": True, "false": False}
_DELIMITERS = ",;\t|"
_LOOK = 20  # records read to find the delimiter


def read_csv(path: Path, header: bool | None = None) -> tuple[list[str] | None, list[Array]]:
    """Column names (None without a header) and 1-D columns. BadArtefact names the file and the line.

    Text columns are object arrays of `str`; a gap in one is the empty string.
    """
    text = _text(path)
    records = _records(path, text, _delimiter(text))
    if not records:
        raise BadArtefact(f"{path}: empty; expected CSV records")
    width = len(records[0][1])
    for line, cells in records:
        if len(cells) != width:
            raise BadArtefact(f"{path}: line {line}: {len(cells)} fields, expected {width} as in the first record")
    columns = [list(c) for c in zip(*(cells for _, cells in records), strict=True)]
    if header is None:
        header = _has_header(columns)
    if not header:
        return None, [typed(c) for c in columns]
    if len(records) == 1:
        raise BadArtefact(f"{path}: a header and no rows")
    return _named(path, [c[0] for c in columns], [typed(c[1:]) for c in columns])


def typed(cells: Sequence[str]) -> Array:
    """A column as bool, int64, uint64, float64 (gaps are NaN) or object (text), whichever holds all cells."""
    if cells and all(c.lower() in _TRUTH for c in cells):
        return np.array([_TRUTH[c.lower()] for c in cells], np.bool_)
    if not all(map(is_number, (c for c in cells if c not in MISSING))):
        return text_array(cells)
    try:
        whole = [int(c) for c in cells]
    except ValueError:
        return np.array([np.nan if c in MISSING else float(c) for c in cells], np.float64)
    return whole_array(whole)


def whole_array(values: list[int]) -> Array:
    """Integers as int64, uint64 where that is needed, float64 beyond both."""
    for kind in (np.int64, np.uint64):
        try:
            return np.array(values, kind)
        except OverflowError:
            continue
    return np.array(values, np.float64)


def text_array(values: Sequence[Any]) -> Array:
    """An object array of `str`."""
    out = np.empty(len(values), object)
    out[:] = values
    return out


def is_number(cell: str) -> bool:
    """Whether a cell is a number as CSV files write it: no underscores, no leading zeros."""
    digits = cell.strip()
    digits = digits[1:] if digits[:1] in ("+", "-") else digits
    if "_" in digits or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()):
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise BadArtefact(f"{path}: byte {e.start} is not UTF-8; save the file as UTF-8") from e


def _records(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records = []
    line = 1
    try:
        for cells in reader:
            if cells:  # blank lines are no records
                records.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as e:
        raise BadArtefact(f"{path}: line {line}: not CSV: {e}") from e
    return records


def _delimiter(text: str) -> str:
    # of the delimiters that split the first records alike, the one that makes most fields
    best, most = ",", 1
    for candidate in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=candidate)
        widths = set()
        try:
            for _, cells in zip(range(_LOOK), (c for c in reader if c), strict=False):
                widths.add(len(cells))
        except csv.Error:
            continue
        if len(widths) == 1 and (width := widths.pop()) > most:
            best, most = candidate, width
    return best


def _has_header(columns: list[list[str]]) -> bool:
    first = [c[0].strip() for c in columns]
    if len(columns[0]) == 1 or len(set(first)) != len(first) or any(c in MISSING for c in first[1:]):
        return False
    if first[0] in MISSING and len(first) == 1:
        return False
    if not any(is_number(c) for c in first):
        return True
    return any(not is_number(c[0]) and c[0] not in MISSING and _numbers(c[1:]) for c in columns)


def _numbers(cells: Sequence[str]) -> bool:
    there = [c for c in cells if c not in MISSING]
    return bool(there) and all(map(is_number, there))


def _named(path: Path, names: list[str], columns: list[Array]) -> tuple[list[str], list[Array]]:
    names = [n.strip() for n in names]
    if not names[0] and len(names) > 1 and np.array_equal(columns[0], np.arange(len(columns[0]))):
        names, columns = names[1:], columns[1:]
    for position, name in enumerate(names, 1):
        if not name:
            raise BadArtefact(f"{path}: line 1: column {position} has no name")
        if names.index(name) != position - 1:
            raise BadArtefact(f"{path}: line 1: the column name '{name}' occurs twice")
    return names, columns
