"""Predict messages of TensorFlow Serving's REST API, and of KServe's V1 protocol, which descends from it. No I/O.

Row format: {"instances": [...]} -> {"predictions": [...]}, column format: {"inputs": ...} -> {"outputs": ...}.
Values are nested as their tensors are; where a model has several inputs or outputs, objects name them. Bytes are
{"b64": "..."}.
Protocol: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..errors import BadRequest
from ..request import Request
from ..signature import Signature, TensorSpec
from ..tensors import Array, datatype_of
from .v2 import dump_json, parse_json
from .v2_tensors import MAX_DIMENSIONS, flatten, from_values, shape_of

SIGNATURE = "serving_default"  # a package has one, under the name that exporters give it
COLUMNS = "columns"  # a request's `asked`: the column format
Outputs = Sequence[tuple[str, Array]]


def decode_predict(body: bytes, signature: Signature, model: str) -> Request:
    """A Request from a body. BadRequest says what is wrong in one line."""
    return predict_of(parse_json(body), signature, model)


def predict_of(tree: Any, signature: Signature, model: str) -> Request:
    """The same from a JSON document that has been read."""
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
    shape = shape_of(values)
    if len(shape) > MAX_DIMENSIONS:
        raise BadRequest(f"lists are nested in more than {MAX_DIMENSIONS} dimensions")
    array = (
        _bytes(spec.name, shape, values)
        if spec.datatype == "BYTES"
        else from_values(spec.name, spec.datatype, shape, values)
    )
    missing = spec.shape[len(shape) :]
    if shape and missing and all(d == 1 for d in missing):
        array = array.reshape([*shape, *[1] * len(missing)])
    return array


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
