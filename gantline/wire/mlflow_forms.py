"""Forms of MLflow's small JSON messages: what stays the same from one to the next, kept as bytes. See v2_forms."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import orjson

from ..errors import BadRequest
from ..request import Request
from ..tensors import Array, datatype_of
from .mlflow import InOrder
from .tabular import shape_of
from .v2_forms import MAX_BYTES, RequestForm
from .v2_forms import ReplyForm as V2ReplyForm
from .v2_tensors import from_values

# the keys that hold the one list; which of them are told apart by what lies around it
_KEYS = (b'"data"', b'"instances"', b'"inputs"')
_ALL_FLOATS = {float}


class ScoringForm(RequestForm):
    """The bytes around the one list of a body, which is the model's one input as it stands."""

    __slots__ = ("_nested", "_row")

    def __init__(self, prefix: bytes, suffix: bytes, request: Request, nested: list[int]) -> None:
        """`nested`: the list's own shape, which may be another than the input's: one flat row, say."""
        name, array = next(iter(request.inputs.items()))
        super().__init__(prefix, suffix, name, datatype_of(array), list(array.shape))
        self._nested = nested
        self._row = nested[1] if self._limit and len(nested) == 2 and nested[0] == 1 else -1

    @classmethod
    def of(cls, body: bytes, request: Request) -> ScoringForm | None:
        """The form of a body that has just been decoded; None when it has none."""
        key = next((k for k in _KEYS if k in body), b"")
        if type(request) is not InOrder or len(body) > MAX_BYTES or not key or body.count(key) != 1:
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
        word = key[1:-1].decode()
        own = rest.get("dataframe_split", rest) if word == "data" else rest
        if own.get(word) != [] or b"\\" in prefix or b"\\" in suffix:
            return None  # the word is another object's key, params' say, or the key is spelled once more, with escapes
        return cls(prefix, suffix, request, shape_of(values))

    def read(self, body: bytes) -> Array | None:
        """The input of a body of this form; None if it is not, or does not fit: it is then read the long way."""
        if not (body.startswith(self.prefix) and body.endswith(self.suffix)):
            return None
        try:
            values = orjson.loads(body[self._start : self._end])
        except orjson.JSONDecodeError:
            return None
        if self._row >= 0 and type(values) is list and len(values) == 1 and type(values[0]) is list:
            row, limit = values[0], self._limit  # one row of floats, which is what most bodies hold
            if len(row) == self._row and set(map(type, row)) == _ALL_FLOATS:
                small = max(row) <= limit and min(row) >= -limit
                return np.array(row, self._dtype).reshape(self.shape) if small else None
        if type(values) is not list or shape_of(values) != self._nested:
            return None
        try:
            return from_values(self.name, self.datatype, self._nested, values).reshape(self.shape)
        except BadRequest:
            return None


class PredictionsForm:
    """The bytes around the numbers of an answer: of one output, or of one row of several."""

    __slots__ = ("_chosen", "_parts")

    def __init__(self, names: Sequence[str], chosen: Sequence[int]) -> None:
        """`chosen`: which of the outputs are the predictions."""
        self._chosen = chosen
        self._parts: list[bytes] | None = None
        if len(chosen) > 1:
            keys = [orjson.dumps(names[i]) + b":" for i in chosen]
            self._parts = [b'{"predictions":[{' + keys[0], *(b"," + k for k in keys[1:])]

    @classmethod
    def of(cls, names: Sequence[str], arrays: Sequence[Array], wanted: Sequence[str]) -> PredictionsForm | None:
        """The form of an answer with such arrays; None for what is written the long way. `wanted`: none is all."""
        chosen = [i for i, n in enumerate(names) if n in wanted or not wanted]
        found = [arrays[i] for i in chosen]
        if not V2ReplyForm.fits(found) or not all(a.ndim for a in found):
            return None
        return cls(names, chosen) if len(found) == 1 or all(len(a) == 1 for a in found) else None

    def write(self, arrays: Sequence[Array]) -> bytes | None:
        """The answer's body; None when it holds NaN or infinities, which need the slower writer."""
        texts = [orjson.dumps(np.ascontiguousarray(arrays[i]), option=orjson.OPT_SERIALIZE_NUMPY) for i in self._chosen]
        if any(b"null" in t for t in texts):
            return None
        if self._parts is None:
            return b'{"predictions":' + texts[0] + b"}"
        # a list of one row without its brackets is the row
        return b"".join([p + t[1:-1] for p, t in zip(self._parts, texts, strict=True)]) + b"}]}"
