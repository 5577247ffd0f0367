"""One tensor's data on the V2 wire: JSON values and little-endian bytes, both ways.

BYTES tensors are object arrays of `bytes`; a binary element is a uint32 length and its bytes
(Triton's binary tensor data extension).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from ..errors import BadRequest
from ..tensors import DATATYPES, Array, numpy_dtype

_FLOATS = {"FP16", "BF16", "FP32", "FP64"}
_INTS: dict[str, tuple[int, int]] = {
    name: (int(np.iinfo(d.numpy).min), int(np.iinfo(d.numpy).max))
    for name, d in DATATYPES.items()
    if name.startswith(("INT", "UINT"))
}
# the largest number that rounds to the datatype's own maximum: 3.4028235e38 is how FP32's is commonly written
FLOAT_MAX: dict[str, float] = {
    "FP16": 65519.99, "BF16": 3.396177e38, "FP32": 3.4028235677973362e38, "FP64": 1.7976931348623157e308,
}  # fmt: skip
SMALL = 64  # elements up to which Python's min and max beat numpy's
MAX_DIMENSIONS = 32
MAX_ELEMENTS = 1 << 40


def from_values(name: str, datatype: str, shape: list[int], data: Any) -> Array:
    """An array of `data`, a flat or nested JSON list. BadRequest names the tensor and what does not fit."""
    values = flatten(name, shape, data)
    count = prod(shape)
    if len(values) != count:
        raise BadRequest(f"input '{name}': shape {shape} needs {count} elements, data has {len(values)}")
    kinds = set(map(type, values))
    if datatype in _FLOATS:
        array = _floats(name, datatype, values, kinds)
    elif datatype == "BYTES":
        if not kinds <= {str}:
            raise _wrong(name, datatype, kinds - {str}, "strings")
        array = np.empty(count, object)
        array[:] = [v.encode() for v in values]
    elif datatype == "BOOL":
        if not kinds <= {bool}:
            raise _wrong(name, datatype, kinds - {bool}, "true and false")
        array = np.array(values, np.bool_)
    else:
        if not kinds <= {int}:
            raise _wrong(name, datatype, kinds - {int}, "integers")
        low, high = _INTS[datatype]
        if values and (max(values) > high or min(values) < low):
            raise BadRequest(f"input '{name}': a value is outside {datatype}'s range {low}..{high}")
        array = np.array(values, numpy_dtype(datatype))
    return array.reshape(shape)


def to_values(name: str, array: Array, datatype: str) -> Any:
    """What a JSON writer takes for an array, flat: the array itself for plain numbers, else a list."""
    if datatype == "BYTES":
        try:
            return [e.decode() if isinstance(e, bytes) else str(e) for e in array.ravel().tolist()]
        except UnicodeDecodeError as e:
            raise BadRequest(
                f"output '{name}' holds bytes that are not UTF-8; ask for it with \"binary_data\": true"
            ) from e
    if datatype in ("FP16", "BF16"):
        return array.astype(np.float32).ravel()
    return np.ascontiguousarray(array).ravel()


def from_bytes(name: str, datatype: str, shape: list[int], data: memoryview) -> Array:
    """An array over little-endian bytes (no copy but for BYTES and BOOL). BadRequest if the byte count does not fit."""
    if datatype == "BYTES":
        return _strings(name, shape, data)
    dtype = numpy_dtype(datatype)
    wanted = prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise BadRequest(
            f"input '{name}': shape {shape} of {datatype} needs {wanted} bytes, binary data has {len(data)}"
        )
    if datatype == "BOOL":  # any byte but 0 is true; engines take 2 for neither, or for both
        return np.frombuffer(data, np.uint8).astype(np.bool_).reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape)


def to_bytes(array: Array, datatype: str) -> bytes:
    """Little-endian bytes of an array in row-major order."""
    if datatype != "BYTES":
        return array.tobytes()
    parts: list[bytes] = []
    for e in array.ravel().tolist():
        raw = e if isinstance(e, bytes) else str(e).encode()
        parts += (struct.pack("<I", len(raw)), raw)
    return b"".join(parts)


def flatten(name: str, shape: list[int], data: Any) -> Sequence[Any]:
    """The elements of a flat or nested list, row-major. BadRequest unless what is nested has that shape."""
    if type(data) is not list:
        # a scalar tensor (shape []) may come as its bare value
        if not shape and not isinstance(data, dict) and data is not None:
            return [data]
        raise BadRequest(f"input '{name}': data is {_kind(type(data))}, expected a list")
    values: list[Any] = data
    level = 0
    while values and type(values[0]) is list:
        if level >= len(shape) or len(values) != prod(shape[: level + 1]):
            raise BadRequest(f"input '{name}': nested data does not have shape {shape}")
        width = shape[level + 1] if level + 1 < len(shape) else -1
        for row in values:
            if type(row) is not list or len(row) != width:
                raise BadRequest(f"input '{name}': nested data does not have shape {shape}")
        values = list(chain.from_iterable(values))
        level += 1
    return values


def shape_of(values: Any) -> list[int]:
    """The shape of nested lists (or tuples) as their first elements show it."""
    shape: list[int] = []
    while isinstance(values, list | tuple):
        shape.append(len(values))
        if not values:
            break
        values = values[0]
    return shape


def _floats(name: str, datatype: str, values: Sequence[Any], kinds: set[type]) -> Array:
    if not kinds <= {float, int}:
        if not kinds <= {float, int, type(None)}:
            raise _wrong(name, datatype, kinds - {float, int}, "numbers")
        # JSON has no NaN: null is how pandas and most writers spell a missing number
        values = [float("nan") if v is None else v for v in values]
    limit, dtype = FLOAT_MAX[datatype], numpy_dtype(datatype)
    try:
        if datatype == "BF16" and int in kinds:
            values = [float(v) for v in values]  # ml_dtypes takes integers of 64 bits only
        if len(values) <= SMALL:
            # a NaN in the first place sticks in min and max and fails the comparison; elsewhere it is passed over
            if not values or (max(values) <= limit and min(values) >= -limit):
                return np.array(values, dtype)
            beyond = [v for v in values if not -limit <= v <= limit]
        else:
            wide = np.array(values, np.float64)
            beyond = wide[np.abs(wide) > limit].tolist()
        if any(v == v and abs(v) != float("inf") for v in beyond):
            raise BadRequest(f"input '{name}': a value is outside {datatype}'s range of +-{limit:g}")
        return np.array(values, dtype) if len(values) <= SMALL else wide.astype(dtype)
    except OverflowError as e:  # an integer of more than 308 digits
        raise BadRequest(f"input '{name}': a value is outside {datatype}'s range of +-{limit:g}") from e


def _strings(name: str, shape: list[int], data: memoryview) -> Array:
    count = prod(shape)
    out: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        if at + 4 > end:
            raise BadRequest(f"input '{name}': element {len(out)} is cut off within its 4-byte length")
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if at + size > end:
            raise BadRequest(f"input '{name}': element {len(out)} says {size} bytes, only {end - at} are left")
        out.append(bytes(data[at : at + size]))
        at += size
    if len(out) != count:
        raise BadRequest(f"input '{name}': shape {shape} needs {count} elements, binary data has {len(out)}")
    array = np.empty(count, object)
    array[:] = out
    return array.reshape(shape)


_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number with a fraction",
    type(None): "null",
}


def _kind(kind: type) -> str:
    return _KINDS.get(kind, kind.__name__)


def _wrong(name: str, datatype: str, found: set[type], wanted: str) -> BadRequest:
    got = " and ".join(sorted(map(_kind, found)))
    return BadRequest(f"input '{name}': data of datatype {datatype} must be {wanted}, found {got}")
