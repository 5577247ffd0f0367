"""V2's infer messages over gRPC: bytes <-> Request and Reply. No I/O, no gRPC.

Server side: parse and Envelope.request, encode_reply. Client side: encode_request, decode_reply.
Messages: proto/grpc_service.proto. Answers always carry raw_output_contents, one entry for each output in order:
tritonclient reads nothing else.
"""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError

from ..errors import BadArtefact, BadRequest
from ..pb import message
from ..request import Parameter, Place, Reply, Request, RequestedOutput
from ..tensors import DATATYPES, Array, datatype_of, numpy_dtype
from .v2_shared import Memory, place_of, read_place, write_place
from .v2_tensors import MAX_DIMENSIONS, MAX_ELEMENTS, from_bytes, to_bytes
from .v2_wishes import understand

Blob: TypeAlias = bytes | memoryview

SLOW = 64 << 10  # bytes; what takes longer to read than a loop may be held
# what a typed list's elements are in memory
_LISTS = {
    "bool_contents": np.dtype(np.bool_),
    "int_contents": np.dtype(np.int32),
    "int64_contents": np.dtype(np.int64),
    "uint_contents": np.dtype(np.uint32),
    "uint64_contents": np.dtype(np.uint64),
    "fp32_contents": np.dtype(np.float32),
    "fp64_contents": np.dtype(np.float64),
}
_REQUEST, _RESPONSE = message("inference.ModelInferRequest"), message("inference.ModelInferResponse")
_RAW_INPUT = 7 << 3 | 2  # field and wire type of ModelInferRequest.raw_input_contents
RAW_OUTPUT = b"\x32"  # of ModelInferResponse.raw_output_contents: 6 << 3 | 2
_STREAM_REPLY = b"\x12"  # of ModelStreamInferResponse.infer_response: 2 << 3 | 2
_JOIN_FROM = 4 << 10  # bytes; below it protobuf's own copies are the quickest
_MAX_INT64 = (1 << 63) - 1


class Envelope:
    """A ModelInferRequest that is parsed, its tensors not yet read: who it is for, and what it asks."""

    __slots__ = ("_blobs", "_message")

    def __init__(self, parsed: Any, blobs: list[memoryview] | None) -> None:
        self._message = parsed
        self._blobs = blobs  # where raw_input_contents were left in the bytes that came

    @property
    def model(self) -> str:
        return str(self._message.model_name)

    @property
    def version(self) -> str:
        return str(self._message.model_version)

    @property
    def id(self) -> str:
        return str(self._message.id)

    def request(self, memory: Memory | None = None) -> Request:
        """The tensors, over the bytes that came where they are raw; `memory` holds those in shared memory.

        BadRequest says what is wrong in one line.
        """
        parsed = self._message
        raw = parsed.raw_input_contents if self._blobs is None else self._blobs
        inputs: dict[str, Array] = {}
        at, end = 0, len(raw)
        for tensor in parsed.inputs:
            name = tensor.name
            if name in inputs:
                raise BadRequest(f"input '{name}' is given twice")
            if tensor.parameters and (place := _place(tensor.parameters, f"input '{name}'")) is not None:
                if tensor.HasField("contents"):
                    raise BadRequest(f"input '{name}' has contents and a place in shared memory; send one of them")
                inputs[name] = _input(name, tensor, read_place(memory, place, f"input '{name}'"))
            elif end:
                if at == end:
                    raise BadRequest(f"input '{name}': raw_input_contents has only {end} entries; expected one each")
                inputs[name] = _input(name, tensor, raw[at])
                at += 1
            else:
                inputs[name] = _input(name, tensor, None)
        if at != end:
            raise BadRequest(f"raw_input_contents has {end} entries for {at} inputs; expected one each")
        request = Request(inputs, parsed.model_name, parsed.model_version, parsed.id or None)
        if parsed.parameters:
            request.parameters = _parameters(parsed.parameters, "the request")
        if parsed.outputs:
            request.outputs = [_output(o, memory) for o in parsed.outputs]
        return request


def parse(data: bytes) -> Envelope:
    """Look into a ModelInferRequest. BadRequest if it is none.

    From a long one the raw tensors are left where they are, neither copied nor looked at.
    """
    head, blobs = _without_raw(data) if len(data) >= _JOIN_FROM else (data, None)
    try:
        return Envelope(_REQUEST.FromString(head), blobs)
    except DecodeError as e:
        raise BadRequest(f"the message is not an inference.ModelInferRequest: {' '.join(str(e).split())}") from e


def is_slow(data: bytes) -> bool:
    """Whether parsing and reading may take longer than an event loop should be held: typed lists, or text."""
    if len(data) <= SLOW:
        return False
    head, _ = _without_raw(data)
    return len(head) > SLOW or b"BYTES" in head


def encode_reply(reply: Reply, request: Request | None = None, memory: Memory | None = None) -> bytes:
    """A ModelInferResponse. Which outputs go to shared memory is what the request asked for."""
    places = {o.name: o.place for o in request.outputs if o.place} if request and request.outputs else None
    out = _RESPONSE(model_name=reply.model, model_version=reply.version)
    if reply.id is not None:
        out.id = reply.id
    if reply.parameters:
        _set_parameters(out.parameters, reply.parameters)
    tensors = out.outputs
    blobs: list[bytes] = []
    for name, array in reply.outputs:
        datatype = datatype_of(array)
        tensor = tensors.add(name=name, datatype=datatype, shape=array.shape)
        blob = to_bytes(array, datatype)
        if places and (place := places.get(name)) is not None:
            _set_parameters(tensor.parameters, write_place(memory, place, blob, name))
            blob = b""
        blobs.append(blob)
    return _joined(out, blobs, out.raw_output_contents, RAW_OUTPUT)


def stream_answer(reply: bytes) -> bytes:
    """A ModelStreamInferResponse around the bytes of a ModelInferResponse."""
    return b"".join((_STREAM_REPLY, varint(len(reply)), reply))


def stream_error(text: str, id: str, parameters: dict[str, Parameter]) -> bytes:
    """A ModelStreamInferResponse that says why there is no answer, and to which request."""
    out = message("inference.ModelStreamInferResponse")(error_message=text)
    out.infer_response.id = id
    _set_parameters(out.infer_response.parameters, parameters)
    return bytes(out.SerializeToString())


def encode_request(request: Request) -> bytes:
    """A ModelInferRequest as a client sends it, tensors raw."""
    out = _REQUEST(model_name=request.model, model_version=request.version)
    if request.id is not None:
        out.id = request.id
    if request.parameters:
        _set_parameters(out.parameters, request.parameters)
    for wish in request.outputs or ():
        parameters = dict(wish.parameters)
        if wish.classes:
            parameters["classification"] = wish.classes
        _set_parameters(out.outputs.add(name=wish.name).parameters, parameters)
    blobs: list[bytes] = []
    for name, array in request.inputs.items():
        datatype = datatype_of(array)
        out.inputs.add(name=name, datatype=datatype, shape=array.shape)
        blobs.append(to_bytes(array, datatype))
    return _joined(out, blobs, out.raw_input_contents, bytes([_RAW_INPUT]))


def decode_reply(data: bytes) -> Reply:
    """A Reply from a ModelInferResponse. BadArtefact if it is not one."""
    try:
        found = _RESPONSE.FromString(data)
    except DecodeError as e:
        raise BadArtefact(f"not an inference.ModelInferResponse: {' '.join(str(e).split())}") from e
    raw = found.raw_output_contents
    if raw and len(raw) != len(found.outputs):
        raise BadArtefact(f"not a V2 infer answer: {len(raw)} raw outputs for {len(found.outputs)} outputs")
    try:
        outputs = [(o.name, _input(o.name, o, raw[i] if raw else None)) for i, o in enumerate(found.outputs)]
        parameters = _parameters(found.parameters, "the answer") or None
    except BadRequest as e:
        raise BadArtefact(f"not a V2 infer answer: {e}") from e
    return Reply(found.model_name, found.model_version, outputs, found.id or None, parameters)


def _input(name: str, tensor: Any, raw: Blob | None) -> Array:
    datatype, shape = tensor.datatype, list(tensor.shape)
    if datatype not in DATATYPES:
        raise BadRequest(f"input '{name}': datatype {datatype!r} is unknown; known: {', '.join(DATATYPES)}")
    if len(shape) > MAX_DIMENSIONS:
        raise BadRequest(f"input '{name}': the shape has {len(shape)} dimensions; at most {MAX_DIMENSIONS} are taken")
    elements = 1
    for d in shape:
        if d < 0:
            raise BadRequest(f"input '{name}': shape {shape} has a size that is not a whole number from 0 up")
        elements *= d or 1  # zeros, too: numpy multiplies the others
    if elements > MAX_ELEMENTS:
        raise BadRequest(f"input '{name}': shape {shape} has more elements than any message can carry")
    if raw is None:
        return _from_list(name, datatype, shape, tensor.contents)
    if tensor.HasField("contents") and tensor.contents.ByteSize():
        raise BadRequest(f"input '{name}': contents must not be given beside raw_input_contents")
    return from_bytes(name, datatype, shape, memoryview(raw))


def _from_list(name: str, datatype: str, shape: list[int], contents: Any) -> Array:
    """An array from InferTensorContents, whose lists are wider than some datatypes."""
    field = DATATYPES[datatype].contents
    if field is None:
        raise BadRequest(f"input '{name}': {datatype} has no typed contents; send it in raw_input_contents")
    others = [f.name for f, _ in contents.ListFields() if f.name != field]
    if others:
        raise BadRequest(f"input '{name}': data of datatype {datatype} must be in {field}, found {others[0]}")
    values, count = getattr(contents, field), prod(shape)
    if len(values) != count:
        raise BadRequest(f"input '{name}': shape {shape} needs {count} elements, {field} has {len(values)}")
    if datatype == "BYTES":
        array: Array = np.empty(count, object)
        array[:] = list(values)
        return array.reshape(shape)
    array, dtype = np.array(values, _LISTS[field]), numpy_dtype(datatype)
    if dtype != array.dtype:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if count and (array.min() < low or array.max() > high):
            raise BadRequest(f"input '{name}': a value is outside {datatype}'s range {low}..{high}")
        array = array.astype(dtype)
    return array.reshape(shape)


def _place(parameters: Any, what: str) -> Place | None:
    return place_of(_parameters(parameters, what), what)


def _output(item: Any, memory: Memory | None) -> RequestedOutput:
    wish = RequestedOutput(item.name)
    if item.parameters:
        wish.parameters = _parameters(item.parameters, f"output '{wish.name}'")
        understand(wish, memory)
    return wish


def _parameters(found: Any, where: str) -> dict[str, Parameter]:
    out: dict[str, Parameter] = {}
    for key, value in found.items():
        kind = value.WhichOneof("parameter_choice")
        if kind is None:
            raise BadRequest(f"parameter {key!r} of {where} has no value")
        out[key] = getattr(value, kind)
    return out


def _set_parameters(fields: Any, parameters: dict[str, Parameter]) -> None:
    for key, value in parameters.items():
        field = fields[key]
        if isinstance(value, bool):
            field.bool_param = value
        elif isinstance(value, str):
            field.string_param = value
        elif isinstance(value, float):
            field.double_param = value
        elif value > _MAX_INT64:
            field.uint64_param = value
        else:
            field.int64_param = value


def _joined(out: Any, blobs: list[bytes], raw: Any, key: bytes) -> bytes:
    """A message and its raw tensors; large ones are joined to it, once copied instead of three times."""
    if sum(map(len, blobs)) < _JOIN_FROM:
        raw.extend(blobs)
        return bytes(out.SerializeToString())
    parts = [out.SerializeToString()]
    for blob in blobs:
        parts += (key, varint(len(blob)), blob)
    return b"".join(parts)


def varint(value: int) -> bytes:
    """A whole number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def raw_places(data: bytes) -> list[tuple[int, int, int]] | None:
    """Where raw_input_contents lie in a ModelInferRequest: field, bytes, end. None if the message is damaged."""
    end = len(data)
    found: list[tuple[int, int, int]] = []
    at = 0
    try:
        while at < end:
            begin = at
            key, at = _read_varint(data, at)
            kind = key & 7
            size = 0
            if kind == 2:
                size, at = _read_varint(data, at)
            elif kind == 0:
                _, at = _read_varint(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                return None
            at += size
            if key == _RAW_INPUT:
                found.append((begin, at - size, at))
    except IndexError:
        return None
    return found if at == end else None  # else protobuf will say what is wrong with it


def _without_raw(data: bytes) -> tuple[bytes, list[memoryview] | None]:
    """A ModelInferRequest without raw_input_contents, and these as views; all of it and None if it is damaged."""
    places = raw_places(data)
    if places is None:
        return data, None
    view = memoryview(data)
    rest: list[memoryview] = []
    kept = 0
    for begin, _, end in places:
        rest.append(view[kept:begin])
        kept = end
    rest.append(view[kept:])
    return b"".join(rest), [view[at:end] for _, at, end in places]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a varint of more than ten bytes")
