"""The Open Inference Protocol's infer messages (V2): bytes <-> Request and Reply, JSON and binary tensors. No I/O.

Server side: decode_request, encode_reply. Client side: encode_request, decode_reply. Golden samples use all four.
Protocol: https://github.com/kserve/open-inference-protocol and Triton's binary tensor data extension.
"""

from __future__ import annotations

import json
import re
from math import inf, prod
from typing import Any

import orjson

from ..errors import BadArtefact, BadRequest, TooLarge
from ..request import Parameter, Reply, Request, RequestedOutput
from ..signature import Signature
from ..tensors import DATATYPES, Array, datatype_of
from .v2_shared import Memory, place_of, read_place, write_place
from .v2_tensors import MAX_DIMENSIONS, MAX_ELEMENTS, from_bytes, from_values, to_bytes, to_values
from .v2_wishes import understand

_LARGE_NUMBER = re.compile(rb"[eE]\+?\d{3}|\d{200}")  # what every number that no double holds has in it


def decode_request(body: bytes, header_length: int | None = None, memory: Memory | None = None) -> Request:
    """A Request from a body: all JSON, or JSON of `header_length` bytes with binary tensors after it.

    `memory` holds the tensors that lie in shared memory. BadRequest says what is wrong in one line; TooLarge for
    nesting that a parser cannot take.
    """
    if header_length is None:
        tree, blobs = parse_json(body), None
    else:
        if not 0 < header_length <= len(body):
            raise BadRequest(f"Inference-Header-Content-Length is {header_length}, the body has {len(body)} bytes")
        view = memoryview(body)
        tree, blobs = parse_json(view[:header_length]), view[header_length:]
    if type(tree) is not dict:
        raise BadRequest('the request is not a JSON object with "inputs"')
    raw_inputs = tree.get("inputs")
    if type(raw_inputs) is not list:
        raise BadRequest('the request has no list "inputs"')
    inputs: dict[str, Array] = {}
    at = 0
    for item in raw_inputs:
        name, array, at = _input(item, blobs, at, memory)
        if name in inputs:
            raise BadRequest(f"input '{name}' is given twice")
        inputs[name] = array
    if blobs is not None and at != len(blobs):
        raise BadRequest(f"unexpected additional input data: {len(blobs) - at} bytes after the last tensor")
    request = Request(inputs)
    if len(tree) > 1:
        _rest(tree, request, memory)
    return request


def decode_raw(body: bytes, signature: Signature, model: str) -> Request:
    """A Request from a body that is nothing but the single input's bytes, one row (header length 0).

    BadRequest unless the model has one input, and a shape in which at most one dimension is left to find.
    """
    if len(signature.inputs) != 1:
        raise BadRequest(f"model '{model}' has {len(signature.inputs)} inputs; a raw binary request needs exactly one")
    spec = signature.inputs[0]
    shape = [1 if d < 0 and i == 0 else d for i, d in enumerate(spec.shape)]
    data = memoryview(body)
    if spec.datatype == "BYTES":
        data = memoryview(len(body).to_bytes(4, "little") + body)
        shape = [1 if d < 0 else d for d in shape]
    free = [i for i, d in enumerate(shape) if d < 0]
    if len(free) > 1:
        raise BadRequest(f"model '{model}': input '{spec.name}' has several free dimensions; send its shape in JSON")
    if free:
        rest = prod(d for d in shape if d >= 0) * DATATYPES[spec.datatype].itemsize
        shape[free[0]] = len(body) // rest if rest else 0
    request = Request({spec.name: from_bytes(spec.name, spec.datatype, shape, data)})
    request.binary_output = True
    return request


def encode_reply(reply: Reply, request: Request, memory: Memory | None = None) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON when binary tensors follow it (else None).

    Which outputs are binary, and which go to shared memory, is what the request asked for.
    """
    asked = {o.name: o for o in request.outputs} if request.outputs else None
    default = request.binary_output
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, array in reply.outputs:
        datatype = datatype_of(array)
        wish = asked.get(name) if asked is not None else None
        binary = default if wish is None or wish.binary is None else wish.binary
        entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": array.shape}
        if wish is not None and wish.place is not None:
            entry["parameters"] = write_place(memory, wish.place, to_bytes(array, datatype), name)
        elif binary:
            blob = to_bytes(array, datatype)
            entry["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            entry["data"] = to_values(name, array, datatype)
        outputs.append(entry)
    tree: dict[str, Any] = {"model_name": reply.model, "model_version": reply.version}
    if reply.id is not None:
        tree["id"] = reply.id
    if reply.parameters:
        tree["parameters"] = reply.parameters
    tree["outputs"] = outputs
    head = dump_json(tree)
    if not any(blobs):
        return head, None
    return b"".join([head, *blobs]), len(head)


def encode_request(request: Request, binary: bool = True) -> tuple[bytes, int | None]:
    """A request's body as a client sends it, and the length of its JSON when binary tensors follow."""
    inputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, array in request.inputs.items():
        datatype = datatype_of(array)
        entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": array.shape}
        if binary:
            blob = to_bytes(array, datatype)
            entry["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            entry["data"] = to_values(name, array, datatype)
        inputs.append(entry)
    tree: dict[str, Any] = {"inputs": inputs}
    if request.id is not None:
        tree["id"] = request.id
    parameters = dict(request.parameters or {})
    if request.binary_output:
        parameters["binary_data_output"] = True
    if parameters:
        tree["parameters"] = parameters
    if request.outputs is not None:
        tree["outputs"] = [_wish(o) for o in request.outputs]
    head = dump_json(tree)
    if not binary or not blobs:
        return head, None
    return b"".join([head, *blobs]), len(head)


def decode_reply(body: bytes, header_length: int | None = None) -> Reply:
    """A Reply from a server's answer. BadArtefact if it is not one."""
    view = memoryview(body)
    split = len(body) if header_length is None else header_length
    try:
        tree = parse_json(view[:split])
        blobs, at, outputs = view[split:], 0, []
        for o in tree["outputs"]:
            size = (o.get("parameters") or {}).get("binary_data_size")
            name, datatype, shape = o["name"], o["datatype"], list(o["shape"])
            if size is None:
                outputs.append((name, from_values(name, datatype, shape, o["data"])))
            else:
                outputs.append((name, from_bytes(name, datatype, shape, blobs[at : at + size])))
                at += size
        return Reply(
            tree.get("model_name", ""), tree.get("model_version", ""), outputs, tree.get("id"), tree.get("parameters")
        )
    except (KeyError, TypeError, AttributeError, BadRequest) as e:
        raise BadArtefact(f"not a V2 infer answer: {e}") from e


def parse_json(data: bytes | memoryview) -> Any:
    """A JSON document; NaN, Infinity and -Infinity are taken too. BadRequest says where it is wrong."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as e:
        problem = str(e)
    text = bytes(data)
    if b"NaN" in text or b"Infinity" in text:
        try:
            real = _finite if _LARGE_NUMBER.search(text) else None
            # given bytes it would guess at UTF-16, and take half characters
            tree = json.loads(text.decode(), parse_float=real)
            if b"\\u" in text:
                json.dumps(tree, ensure_ascii=False).encode()  # fails for an escaped half of a character
            return tree
        except RecursionError as e:
            raise TooLarge("the JSON is nested too deeply") from e
        except ValueError as e:
            problem = str(e)
    if "depth limit" in problem or "ecursion" in problem:
        raise TooLarge("the JSON is nested too deeply")
    raise BadRequest(f"the body is not JSON: {problem}" if text else "the body is empty; expected JSON")


def _finite(digits: str) -> float:
    """A number as orjson takes it, which refuses 1e400. ValueError for one that would become infinite."""
    value = float(digits)
    if value in (inf, -inf):
        raise ValueError(f"number is infinity when parsed as double: {digits:.40}")
    return value


def dump_json(tree: Any) -> bytes:
    """JSON bytes; NaN and infinities are written as Triton writes them, by a second and slower writer."""
    out = orjson.dumps(tree, option=orjson.OPT_SERIALIZE_NUMPY)
    # orjson turns NaN and infinities into null: look closer only when there is one
    if b"null" in out:
        plain = json.dumps(tree, default=_listed, separators=(",", ":"), ensure_ascii=False).encode()
        if b"NaN" in plain or b"Infinity" in plain:
            return plain
    return out


def _listed(value: Any) -> Any:
    return value.tolist()


def _input(item: Any, blobs: memoryview | None, at: int, memory: Memory | None) -> tuple[str, Array, int]:
    try:
        name, datatype, shape = item["name"], item["datatype"], item["shape"]
    except (KeyError, TypeError) as e:
        what = e.args[0] if isinstance(e, KeyError) else None
        raise BadRequest(f'an input has no "{what}"' if what else "an input is not a JSON object") from e
    if type(name) is not str:
        raise BadRequest('an input\'s "name" is not a string')
    if type(datatype) is not str or datatype not in DATATYPES:
        raise BadRequest(f"input '{name}': datatype {datatype!r} is unknown; known: {', '.join(DATATYPES)}")
    if type(shape) is not list or len(shape) > MAX_DIMENSIONS:
        raise BadRequest(f"input '{name}': \"shape\" must be a list of at most {MAX_DIMENSIONS} sizes")
    for d in shape:
        if type(d) is not int or d < 0:
            raise BadRequest(f"input '{name}': shape {shape} has a size that is not a whole number from 0 up")
    if prod(max(d, 1) for d in shape) > MAX_ELEMENTS:  # zeros, too: numpy multiplies the others
        raise BadRequest(f"input '{name}': shape {shape} has more elements than any body can carry")
    parameters = item.get("parameters")
    size = None
    if type(parameters) is dict:
        if (place := place_of(parameters, f"input '{name}'")) is not None:
            if "data" in item:
                raise BadRequest(f"input '{name}' has \"data\" and a place in shared memory; send one of them")
            data = read_place(memory, place, f"input '{name}'")
            return name, from_bytes(name, datatype, shape, data), at
        size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in item:
            raise BadRequest(f'input \'{name}\' has neither "data" nor "binary_data_size"')
        return name, from_values(name, datatype, shape, item["data"]), at
    if blobs is None:
        raise BadRequest(f"input '{name}' says binary data, but there is no Inference-Header-Content-Length header")
    if item.get("data"):
        raise BadRequest(f'input \'{name}\' has "data" and "binary_data_size"; send one of them')
    if type(size) is not int or size < 0:
        raise BadRequest(f"input '{name}': binary_data_size must be a whole number from 0 up")
    if at + size > len(blobs):
        raise BadRequest(
            f"input '{name}': unexpected size for input: {size} bytes expected, {len(blobs) - at} are left"
        )
    return name, from_bytes(name, datatype, shape, blobs[at : at + size]), at + size


def _rest(tree: dict[str, Any], request: Request, memory: Memory | None) -> None:
    found = tree.get("id")
    if found is not None:
        if type(found) is not str:
            raise BadRequest('"id" must be a string')
        request.id = found
    parameters = tree.get("parameters")
    if parameters is not None:
        request.parameters = _parameters(parameters, "the request")
        binary = request.parameters.get("binary_data_output", False)
        if type(binary) is not bool:
            raise BadRequest('parameter "binary_data_output" must be true or false')
        request.binary_output = binary
    outputs = tree.get("outputs")
    if outputs is not None:
        if type(outputs) is not list:
            raise BadRequest('"outputs" must be a list')
        if outputs:
            request.outputs = [_output(o, memory) for o in outputs]


def _output(item: Any, memory: Memory | None) -> RequestedOutput:
    if type(item) is not dict or type(item.get("name")) is not str:
        raise BadRequest('an entry of "outputs" has no "name"')
    wish = RequestedOutput(item["name"])
    raw = item.get("parameters")
    if raw is not None:
        wish.parameters = _parameters(raw, f"output '{wish.name}'")
        binary = wish.parameters.get("binary_data")
        if binary is not None and type(binary) is not bool:
            raise BadRequest(f"output '{wish.name}': \"binary_data\" must be true or false")
        wish.binary = binary
        understand(wish, memory)
    return wish


def _parameters(raw: Any, where: str) -> dict[str, Parameter]:
    if type(raw) is not dict:
        raise BadRequest(f'"parameters" of {where} must be an object')
    for key, value in raw.items():
        if type(value) not in (str, int, float, bool):
            raise BadRequest(f"parameter {key!r} of {where} must be a string, number or boolean")
    return raw


def _wish(output: RequestedOutput) -> dict[str, Any]:
    parameters = dict(output.parameters)
    if output.binary is not None:
        parameters["binary_data"] = output.binary
    if output.classes:
        parameters["classification"] = output.classes
    return {"name": output.name, "parameters": parameters} if parameters else {"name": output.name}
