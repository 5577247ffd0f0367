"""Predict messages of TensorFlow Serving's REST API, and of KServe's V1 protocol, which descends from it. No I/O.

Row format: {"instances": [...]} -> {"predictions": [...]}, column format: {"inputs": ...} -> {"outputs": ...}.
Values are nested as their tensors are; where a model has several inputs or outputs, objects name them. Bytes are
{"b64": "..."}.
Protocol: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import orjson

from ..errors import BadRequest
from ..request import Request
from ..signature import Signature, TensorSpec
from ..tensors import DATATYPES, Array, datatype_of, numpy_dtype
from .v2 import dump_json, parse_json
from .v2_forms import MAX_BYTES
from .v2_tensors import FLOAT_MAX, MAX_DIMENSIONS, SMALL, flatten, from_values

SIGNATURE = "serving_default"  # a package has one, under the name that exporters give it
COLUMNS = "columns"  # a request's `asked`: the column format
_NUMBERS = frozenset(d for d in DATATYPES if d not in ("BYTES", "FP16", "BF16"))
_ALL_FLOATS = {float}
Outputs = Sequence[tuple[str, Array]]


def decode_predict(body: bytes, signature: Signature, model: str) -> Request:
    """A Request from a body. BadRequest says what is wrong in one line."""
    tree = parse_json(body)
    if type(tree) is not dict:
        raise BadRequest('the request is not a JSON object with "instances" or "inputs"')
    named = tree.get("signature_name", "")
    if named not in ("", SIGNATURE):
        raise BadRequest(f"model '{model}' has no signature {_shown(named)}; leave it out, or name '{SIGNATURE}'")
    if "instances" in tree:
        if "inputs" in tree:
            raise BadRequest('the request has "instances" and "inputs"; send one of them')
        return Request(_rows(tree["instances"], signature, model))
    if "inputs" in tree:
        request = Request(_columns(tree["inputs"], signature, model))
        request.asked = COLUMNS
        return request
    raise BadRequest('the request has neither "instances" (a list of rows) nor "inputs" (whole tensors)')


def encode_predict(outputs: Outputs, columns: bool) -> bytes:
    """The answer's body. BadRequest where the outputs have no rows that "predictions" could list."""
    if columns:
        if len(outputs) == 1:
            return dump_json({"outputs": _values(*outputs[0])})
        return dump_json({"outputs": {name: _values(name, array) for name, array in outputs}})
    rows = {a.shape[0] if a.ndim else -1 for _, a in outputs}
    if len(rows) != 1 or -1 in rows:
        shapes = ", ".join(f"'{n}' {list(a.shape)}" for n, a in outputs)
        raise BadRequest(f'the outputs have no rows in common ({shapes}); ask in column format, by "inputs"')
    if len(outputs) == 1:
        return dump_json({"predictions": _values(*outputs[0])})
    names = [name for name, _ in outputs]
    columns_of = [_values_by_row(name, array) for name, array in outputs]
    return dump_json({"predictions": [dict(zip(names, row, strict=True)) for row in zip(*columns_of, strict=True)]})


class ValuesForm:
    """The bytes around the numbers of a request, in either format, for a model with one input of numbers."""

    __slots__ = (
        "_depth", "_dtype", "_end", "_limit", "_start", "_width", "asked", "datatype", "name", "prefix", "shape",
        "suffix",
    )  # fmt: skip

    def __init__(
        self, prefix: bytes, suffix: bytes, name: str, datatype: str, written: list[int], shape: list[int],
        asked: object,
    ) -> None:  # fmt: skip
        """`written`: the shape as the lists are nested; `shape`: the model's, of as many elements."""
        self.prefix = prefix
        self.suffix = suffix
        self.name = name
        self.datatype = datatype
        self.shape = shape
        self.asked = asked
        self._start, self._end = len(prefix), -len(suffix)
        self._depth = len(written)
        self._dtype = numpy_dtype(datatype)
        one_row = len(written) == 2 and written[0] == 1 and datatype in ("FP32", "FP64")
        self._width = written[1] if one_row and 0 < written[1] <= SMALL else 0
        self._limit = FLOAT_MAX.get(datatype, 0.0)

    @classmethod
    def of(cls, body: bytes, request: Request) -> ValuesForm | None:
        """The form of a body that has just been decoded; None when it has none."""
        if len(request.inputs) != 1 or len(body) > MAX_BYTES:
            return None
        word = "instances" if request.asked is None else "inputs"
        key = b'"%s"' % word.encode()
        name, array = next(iter(request.inputs.items()))
        datatype = datatype_of(array)
        if datatype not in _NUMBERS or body.count(key) != 1:
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
        if rest.get(word) != [] or b"\\" in prefix or b"\\" in suffix:
            return None  # the word is another object's key, or the key is spelled once more, with escapes
        written, shape = _shape_of(values), list(array.shape)
        if written + [1] * (len(shape) - len(written)) != shape:
            return None  # rows that name their input
        return cls(prefix, suffix, name, datatype, written, shape, request.asked)

    def read(self, body: bytes) -> Array | None:
        """The tensor of a body of this form; None if it is not, or does not fit: it is then read the long way."""
        if not (body.startswith(self.prefix) and body.endswith(self.suffix)):
            return None
        try:
            values = orjson.loads(body[self._start : self._end])
        except orjson.JSONDecodeError:
            return None
        if type(values) is not list:
            return None
        if self._width and len(values) == 1:
            row, limit = values[0], self._limit
            plain = type(row) is list and len(row) == self._width and set(map(type, row)) == _ALL_FLOATS
            if plain and max(row) <= limit and min(row) >= -limit:
                return np.array(row, self._dtype).reshape(self.shape)
        inner: Any = values
        for _ in range(self._depth):  # lists that are less deep could be other rows
            if type(inner) is not list or not inner:
                return None
            inner = inner[0]
        try:
            return from_values(self.name, self.datatype, self.shape, values)
        except BadRequest:
            return None


class PredictionsForm:
    """The bytes around the numbers of an answer in row format: any rows of one output, or one row of several."""

    __slots__ = ("_parts",)

    def __init__(self, names: Sequence[str]) -> None:
        if len(names) == 1:
            self._parts: list[bytes] = []
        else:
            keys = [orjson.dumps(name) for name in names]
            self._parts = [b'{"predictions":[{' + keys[0] + b":", *(b"," + key + b":" for key in keys[1:]), b"}]}"]

    @staticmethod
    def fits(arrays: Sequence[Array]) -> bool:
        """Whether these arrays can be written this way: small ones, which are worth no thread."""
        if sum(a.nbytes for a in arrays) > MAX_BYTES or not all(a.ndim and datatype_of(a) in _NUMBERS for a in arrays):
            return False
        return len(arrays) == 1 or all(len(a) == 1 for a in arrays)

    def write(self, arrays: Sequence[Array]) -> bytes | None:
        """The answer's body; None when it holds NaN or infinities, which need the slower writer."""
        parts = self._parts
        if not parts:
            data = _dumped(arrays[0])
            return None if b"null" in data else b'{"predictions":%s}' % data
        out: list[bytes] = []
        for part, array in zip(parts, arrays, strict=False):
            data = _dumped(array)
            if b"null" in data:
                return None
            out += (part, data[1:-1])
        out.append(parts[-1])
        return b"".join(out)


def _dumped(array: Array) -> bytes:
    return orjson.dumps(
        array if array.flags.c_contiguous else np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY
    )


def _rows(instances: Any, signature: Signature, model: str) -> dict[str, Array]:
    if type(instances) is not list or not instances:
        raise BadRequest('"instances" must be a list of at least one row')
    if not _names_inputs(instances[0]):
        spec = _only(signature, model, "give each row as an object of them")
        return {spec.name: _tensor(spec, instances)}
    if not all(map(_names_inputs, instances)):
        raise BadRequest('"instances": some rows name their inputs, others do not')
    names = list(instances[0])
    for i, row in enumerate(instances):
        if row.keys() != instances[0].keys():
            raise BadRequest(f'"instances": row {i} names other inputs ({_list(row)}) than row 0 ({_list(names)})')
    return {name: _tensor(_spec(signature, model, name), [row[name] for row in instances]) for name in names}


def _columns(inputs: Any, signature: Signature, model: str) -> dict[str, Array]:
    if _names_inputs(inputs):
        return {name: _tensor(_spec(signature, model, name), value) for name, value in inputs.items()}
    spec = _only(signature, model, 'give "inputs" as an object of them')
    return {spec.name: _tensor(spec, inputs)}


def _names_inputs(value: Any) -> bool:
    """Whether this is an object of inputs, and no bytes."""
    return type(value) is dict and (len(value) != 1 or "b64" not in value)


def _only(signature: Signature, model: str, instead: str) -> TensorSpec:
    if len(signature.inputs) != 1:
        raise BadRequest(f"model '{model}' takes {_list(t.name for t in signature.inputs) or 'no input'}; {instead}")
    return signature.inputs[0]


def _spec(signature: Signature, model: str, name: str) -> TensorSpec:
    spec = signature.input(name)
    if spec is None:
        known = _list(t.name for t in signature.inputs)
        raise BadRequest(f"model '{model}': unexpected input {_shown(name)}; it takes {known or 'none'}")
    return spec


def _tensor(spec: TensorSpec, values: Any) -> Array:
    """An array of the shape that the values are nested in; dimensions of 1 that they leave out at the end are added."""
    shape = _shape_of(values)
    array = (
        _bytes(spec.name, shape, values)
        if spec.datatype == "BYTES"
        else from_values(spec.name, spec.datatype, shape, values)
    )
    missing = spec.shape[len(shape) :]
    if shape and missing and all(d == 1 for d in missing):
        array = array.reshape([*shape, *[1] * len(missing)])
    return array


def _shape_of(values: Any) -> list[int]:
    shape: list[int] = []
    while type(values) is list and len(shape) <= MAX_DIMENSIONS:
        shape.append(len(values))
        values = values[0] if values else None
    if len(shape) > MAX_DIMENSIONS:
        raise BadRequest(f"lists are nested in more than {MAX_DIMENSIONS} dimensions")
    return shape


def _bytes(name: str, shape: list[int], values: Any) -> Array:
    flat = [values] if not shape else flatten(name, shape, values)
    if len(flat) != prod(shape):
        raise BadRequest(f"input '{name}': shape {shape} needs {prod(shape)} elements, data has {len(flat)}")
    array = np.empty(len(flat), object)
    array[:] = [v.encode() if type(v) is str else _unpacked(name, v) for v in flat]
    return array.reshape(shape)


def _unpacked(name: str, value: Any) -> bytes:
    if type(value) is not dict or type(value.get("b64")) is not str or len(value) != 1:
        raise BadRequest(f'input \'{name}\': data of datatype BYTES must be strings, or {{"b64": "..."}} for bytes')
    try:
        return binascii.a2b_base64(value["b64"], strict_mode=True)
    except ValueError as e:
        raise BadRequest(f"input '{name}': \"b64\" is not base64: {str(e).lower()}") from e


def _values(name: str, array: Array) -> Any:
    """What a JSON writer takes for an output, nested as it is. Bytes that are no text are base64 in any case."""
    datatype = datatype_of(array)
    if datatype == "BYTES":
        packed = name.endswith("_bytes")
        flat = np.empty(array.size, object)
        flat[:] = [_written(e if isinstance(e, bytes) else str(e).encode(), packed) for e in array.ravel().tolist()]
        return flat.reshape(array.shape).tolist()
    if datatype in ("FP16", "BF16"):
        array = array.astype(np.float32)
    if array.ndim == 0:
        return array[()] if array.dtype == np.float32 else array.item()
    return np.ascontiguousarray(array)


def _values_by_row(name: str, array: Array) -> Any:
    """The same to be taken apart by its first dimension: a writer does not take a number of some of numpy's kinds."""
    values = _values(name, array)
    plain = array.ndim == 1 and isinstance(values, np.ndarray) and values.dtype != np.float32
    return values.tolist() if plain else values


def _written(value: bytes, packed: bool) -> Any:
    if not packed:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": binascii.b2a_base64(value, newline=False).decode()}


def _list(names: Any) -> str:
    found = [_shown(n) for n in names]
    return ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")


def _shown(value: Any) -> str:
    return repr(value)[:80]
