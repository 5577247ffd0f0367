"""Tensors: a signature as JSON schemas, and arrays as JSON examples. Pure; every face's description uses it."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gantline.errors import BadRequest
from gantline.signature import TensorSpec
from gantline.tensors import DATATYPES, Array
from gantline.wire.v2_tensors import FLOAT_MAX, to_values

from .operation import Schema

MAX_EXAMPLE = 4096  # elements of a tensor that is written out


def element(datatype: str) -> Schema:
    """One element of a request's tensor. null is how JSON spells a NaN."""
    if datatype in FLOAT_MAX:
        limit = FLOAT_MAX[datatype]
        return {"type": ["number", "null"], "minimum": -limit, "maximum": limit}
    if datatype == "BYTES":
        return {"type": "string"}
    if datatype == "BOOL":
        return {"type": "boolean"}
    info = np.iinfo(DATATYPES[datatype].numpy)
    return {"type": "integer", "minimum": int(info.min), "maximum": int(info.max)}


def answered(datatype: str) -> Schema:
    """One element of an answer's tensor. NaN and infinities are written as such, which is in no schema."""
    return {"description": "a number, NaN or +-Infinity"} if datatype in FLOAT_MAX else element(datatype)


def shape(spec: TensorSpec) -> Schema:
    """The list of a tensor's dimensions: fixed ones are what they are, free ones count from 0."""
    sizes: list[Schema] = [{"type": "integer", "minimum": 0} if d < 0 else {"const": d} for d in spec.shape]
    out: Schema = {"type": "array", "minItems": len(sizes), "maxItems": len(sizes)}
    return {**out, "prefixItems": sizes} if sizes else out


def nested(spec: TensorSpec, one: Schema, drop: int = 0) -> Schema:
    """A tensor as lists in lists, row-major; `drop` leading dimensions are left out."""
    found = one
    for size in reversed(spec.shape[drop:]):
        found = {"type": "array", "items": found}
        if size >= 0:
            found |= {"minItems": size, "maxItems": size}
    return found


def data(spec: TensorSpec, one: Schema) -> Schema:
    """A tensor's elements as V2 has them: nested, or flat in row-major order."""
    if not spec.shape:
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 1}]}
    flat: Schema = {"type": "array", "items": one}
    if -1 not in spec.shape:
        size = prod(spec.shape)
        flat |= {"minItems": size, "maxItems": size}
    return flat if len(spec.shape) == 1 else {"anyOf": [nested(spec, one), flat]}


def described(spec: TensorSpec) -> str:
    """A tensor in words: its datatype, its shape, the first of its labels."""
    sizes = ", ".join("any" if d < 0 else str(d) for d in spec.shape)
    labels = f"; labels: {', '.join(spec.labels[:10])}{', ...' if len(spec.labels) > 10 else ''}" if spec.labels else ""
    return f"{spec.datatype} [{sizes}]{labels}"


def values(array: Array, datatype: str) -> Any:
    """An array's elements as JSON has them, flat; None where it cannot be an example: too long, no text, infinite."""
    if array.size > MAX_EXAMPLE or (datatype in FLOAT_MAX and np.isinf(array).any()):
        return None
    try:
        found = to_values("", array, datatype)
    except BadRequest:
        return None
    if not isinstance(found, np.ndarray):
        return found
    # a float32 in the digits that tell it from others, and not in those of the double nearest to it
    plain = [float(str(v)) for v in found] if found.dtype == np.float32 else found.tolist()
    return [None if v != v else v for v in plain]


def rows(array: Array, datatype: str) -> Any:
    """The same in lists as the array has dimensions."""
    flat = values(array, datatype)
    if flat is None or array.ndim == 0:
        return flat[0] if flat else None
    out = np.empty(array.size, object)
    out[:] = flat
    return out.reshape(array.shape).tolist()
