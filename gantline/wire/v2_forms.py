"""Forms: what stays the same from one small JSON message to the next, kept as bytes.

A client that sends one row after another sends the same bytes around other numbers. A body with the same bytes
before and after its one "data" list is the same request in all but these numbers: name, datatype and shape need no
second reading, and no second check. The same holds for answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod

import numpy as np
import orjson

from ..errors import BadRequest
from ..request import Request
from ..tensors import DATATYPES, Array, datatype_of, numpy_dtype
from .v2_tensors import FLOAT_MAX, SMALL, from_values

MAX_BYTES = 64 << 10  # of a body or of an answer's arrays that are worth remembering
_DATA = b'"data"'
_ALL_FLOATS = {float}
_NUMBERS = frozenset(d for d in DATATYPES if d not in ("BYTES", "FP16", "BF16"))


class RequestForm:
    """The bytes around the numbers of a request that has one JSON input and nothing else."""

    __slots__ = (
        "_count", "_dtype", "_end", "_limit", "_start", "asked", "datatype", "name", "prefix", "shape", "suffix",
    )  # fmt: skip

    def __init__(self, prefix: bytes, suffix: bytes, name: str, datatype: str, shape: list[int]) -> None:
        self.prefix = prefix
        self.suffix = suffix
        self.name = name
        self.asked: object = None
        self.datatype = datatype
        self.shape = shape
        self._start = len(prefix)
        self._end = -len(suffix)
        self._count = prod(shape)
        self._dtype = numpy_dtype(datatype)
        # up to which floats are what they seem; 0: they are not, or too many to look at one by one
        self._limit = FLOAT_MAX[datatype] if datatype in ("FP32", "FP64") and 0 < self._count <= SMALL else 0.0

    @classmethod
    def of(cls, body: bytes, request: Request) -> RequestForm | None:
        """The form of a body that has just been decoded; None when it has none."""
        simple = len(request.inputs) == 1 and request.outputs is None and not request.parameters and request.id is None
        if not simple or len(body) > MAX_BYTES or body.count(_DATA) != 1:
            return None
        name, array = next(iter(request.inputs.items()))
        start = body.index(_DATA) + len(_DATA)
        bracket = body.find(b"[", start)
        if bracket < 0 or body[start:bracket].strip() != b":":
            return None
        try:
            text = body.decode("ascii")  # so that characters are bytes
            _, end = json.JSONDecoder().raw_decode(text, bracket)
            prefix, suffix = body[:bracket], body[end:]
            # no NaN around the list: it would be read by another parser
            rest = orjson.loads(prefix + b"[]" + suffix)
        except (ValueError, RecursionError):
            return None
        if "data" not in rest["inputs"][0]:
            return None  # it is another object's; the input's own lies elsewhere, in shared memory say
        if b"\\" in prefix or b"\\" in suffix:
            return None  # a key could be spelled with escapes: then "data" may be another object's
        return cls(prefix, suffix, name, datatype_of(array), list(array.shape))

    def read(self, body: bytes) -> Array | None:
        """The tensor of a body of this form; None if it is not, or does not fit: it is then read the long way."""
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
        # a flat list of floats: what from_values does with it, in a third of the time
        plain = limit and len(values) == self._count and set(map(type, values)) == _ALL_FLOATS
        if plain and max(values) <= limit and min(values) >= -limit:
            return np.array(values, self._dtype).reshape(self.shape)
        try:
            return from_values(self.name, self.datatype, self.shape, values)
        except BadRequest:
            return None  # the long way finds the same error, or one that comes before it


class ReplyForm:
    """The bytes around the numbers of an answer whose outputs are JSON numbers of given shapes."""

    __slots__ = ("_parts",)

    def __init__(self, model: str, version: str, names: Sequence[str], arrays: Sequence[Array]) -> None:
        entries = [
            orjson.dumps({"name": n, "datatype": datatype_of(a), "shape": list(a.shape)})[:-1] + b',"data":'
            for n, a in zip(names, arrays, strict=True)
        ]
        head = orjson.dumps({"model_name": model, "model_version": version})[:-1] + b',"outputs":['
        self._parts = [head + entries[0], *(b"}," + e for e in entries[1:]), b"}]}"]

    @staticmethod
    def fits(arrays: Sequence[Array]) -> bool:
        """Whether these arrays can be written this way: small ones of numbers, which are worth no thread."""
        small = sum(a.nbytes for a in arrays) <= MAX_BYTES
        return small and bool(arrays) and all(datatype_of(a) in _NUMBERS for a in arrays)

    def write(self, arrays: Sequence[Array]) -> bytes | None:
        """The answer's body, for arrays of the same shapes and datatypes; None when it holds NaN or infinities,
        which need the slower writer.
        """
        out: list[bytes] = []
        for part, array in zip(self._parts, arrays, strict=False):
            data = orjson.dumps(array.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
            if b"n" in data and b"null" in data:
                return None
            out += (part, data)
        out.append(self._parts[-1])
        return b"".join(out)
