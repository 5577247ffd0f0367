"""ListForm: what stays the same from one small JSON message to the next around its one list, kept as bytes. No I/O.

A client that sends one row after another sends the same bytes around other numbers. A body with the same bytes before
and after its one list is the same request in all but these numbers: name, datatype and shape need no second reading,
and no second check. Which list that is, each protocol says in a module of its own.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson

from ..errors import BadRequest
from ..tensors import Array, numpy_dtype
from .v2_tensors import FLOAT_MAX, SMALL, from_values, shape_of

MAX_BYTES = 64 << 10  # of a body or of an answer's arrays that are worth remembering
_ALL_FLOATS = {float}


class Around(NamedTuple):
    """A body taken apart: what is before and after its one list, the list, and the document with an empty one."""

    prefix: bytes
    suffix: bytes
    values: list[Any]
    rest: Any


def around(body: bytes, key: bytes) -> Around | None:
    """A small body that has a key (with its quotes) once, and a list behind it; None for any other.

    Whether the list in `rest` is where the protocol has it, is for the caller to look at.
    """
    if len(body) > MAX_BYTES or body.count(key) != 1:
        return None
    start = body.index(key) + len(key)
    bracket = body.find(b"[", start)
    if bracket < 0 or body[start:bracket].strip() != b":":
        return None
    try:
        text = body.decode("ascii")  # so that characters are bytes
        values, end = json.JSONDecoder().raw_decode(text, bracket)
        prefix, suffix = body[:bracket], body[end:]
        rest = orjson.loads(prefix + b"[]" + suffix)  # no NaN around the list: it would be read by another parser
    except (ValueError, RecursionError):
        return None
    if b"\\" in prefix or b"\\" in suffix:
        return None  # a key could be spelled with escapes: then the list may be another key's
    return Around(prefix, suffix, values, rest)


class ListForm:
    """The bytes around the one list of a request, which is the model's one input."""

    __slots__ = (
        "_count", "_dtype", "_end", "_flat", "_limit", "_start", "_written", "asked", "datatype", "name", "prefix",
        "shape", "suffix",
    )  # fmt: skip

    def __init__(
        self, found: Around, name: str, datatype: str, shape: list[int], written: list[int] | None = None,
        asked: object = None,
    ) -> None:  # fmt: skip
        """`shape`: the input's; `written`: how lists must be nested to mean it, None: flat, or as the shape is.

        `asked`: as the request's.
        """
        self.prefix, self.suffix = found.prefix, found.suffix
        self.name = name
        self.datatype = datatype
        self.shape = shape
        self.asked = asked
        self._written = written
        self._start, self._end = len(self.prefix), -len(self.suffix)
        self._count = prod(shape)
        self._dtype = numpy_dtype(datatype)
        self._flat = written is None or len(written) == 1
        in_row = self._flat or (written is not None and len(written) == 2 and written[0] == 1)
        # up to which floats are what they seem; 0: they are not, or too many to look at one by one
        short = in_row and datatype in ("FP32", "FP64") and 0 < self._count <= SMALL
        self._limit = FLOAT_MAX[datatype] if short else 0.0

    def read(self, body: bytes) -> Array | None:
        """The input of a body of this form; None if it is not, or does not fit: it is then read the long way."""
        if not (body.startswith(self.prefix) and body.endswith(self.suffix)):
            return None
        # what lies between must be a list by itself: then the whole is the remembered document with another list
        try:
            values = orjson.loads(body[self._start : self._end])
        except orjson.JSONDecodeError:
            return None
        if type(values) is not list:
            return None
        limit = self._limit
        if limit:
            # a row of floats: what from_values does with it, in a third of the time
            row: Any = values if self._flat else values[0] if len(values) == 1 else None
            plain = type(row) is list and len(row) == self._count and set(map(type, row)) == _ALL_FLOATS
            if plain and max(row) <= limit and min(row) >= -limit:
                return np.array(row, self._dtype).reshape(self.shape)
        written = self._written
        if written is not None and shape_of(values) != written:
            return None  # lists that are nested otherwise could be other rows
        try:
            return from_values(self.name, self.datatype, written or self.shape, values).reshape(self.shape)
        except BadRequest:
            return None  # the long way finds the same error, or one that comes before it
