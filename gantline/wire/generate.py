"""The generate messages: a plain JSON object <-> Request and outputs. No I/O. Protocol: Triton's generate extension.

A field with an input's name is that input, any other is a parameter, "id" is the request's id; those inside an object
"parameters" are taken alike. Values have the shape that they are written in; leading dimensions that the model has
beyond it are 1. An answer has a field for each output: a value, or a list without leading dimensions of 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import BadRequest, EngineFailed
from ..request import Parameter, Request
from ..signature import Signature, TensorSpec
from ..tensors import Array, datatype_of
from .v2 import dump_json, parse_json
from .v2_tensors import MAX_DIMENSIONS, from_values, to_values


def decode_generate(body: bytes, signature: Signature) -> Request:
    """A Request from a body. BadRequest says what is wrong in one line."""
    tree = parse_json(body)
    if type(tree) is not dict:
        raise BadRequest("the request is not a JSON object")
    request = Request({})
    parameters: dict[str, Parameter] = {}
    nested = tree.get("parameters")
    if type(nested) is dict and signature.input("parameters") is None:
        tree = {k: v for k, v in tree.items() if k != "parameters"}
        for key in nested:
            if key in tree:
                raise BadRequest(f'field {key!r} is given twice, beside and in "parameters"')
        tree |= nested
    for key, value in tree.items():
        spec = signature.input(key)
        if spec is not None:
            request.inputs[key] = _tensor(spec, value)
        elif key == "id":
            if type(value) is not str:
                raise BadRequest('"id" must be a string')
            request.id = value
        elif type(value) in (str, int, float, bool):
            parameters[key] = value
        else:
            raise BadRequest(
                f"field {key!r} is no input of the model, and no string, number or boolean as parameters are"
            )
    request.parameters = parameters or None
    return request


def encode_generate(model: str, version: str, id: str | None, outputs: list[tuple[str, Array]]) -> bytes:
    """One answer as JSON. EngineFailed for bytes that are not text: the request could not have asked otherwise."""
    tree: dict[str, Any] = {"model_name": model, "model_version": version}
    if id is not None:
        tree["id"] = id
    for name, array in outputs:
        tree[name] = _plain(name, array)
    return dump_json(tree)


def _tensor(spec: TensorSpec, value: Any) -> Array:
    shape: list[int] = []
    inner = value
    while type(inner) is list and len(shape) < MAX_DIMENSIONS:
        shape.append(len(inner))
        inner = inner[0] if inner else None
    array = from_values(spec.name, spec.datatype, shape, value)
    return array.reshape([1] * (len(spec.shape) - len(shape)) + shape)


def _plain(name: str, array: Array) -> Any:
    datatype = datatype_of(array)
    shape = list(array.shape)
    while shape and shape[0] == 1:
        del shape[0]
    try:
        values = to_values(name, array, datatype)
    except BadRequest as e:
        raise EngineFailed(
            f"output '{name}' holds bytes that are not UTF-8, which JSON cannot carry; ask for it over gRPC"
        ) from e
    if datatype == "BYTES":
        text = np.empty(array.size, object)
        text[:] = values
        return text.reshape(shape).tolist()
    return values.reshape(shape) if shape else values.item()
