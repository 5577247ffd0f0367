"""Tensors in shared memory, as gRPC's codec reads and writes them: over a memory that is one bytearray."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gantline.errors import BadRequest
from gantline.pb import message
from gantline.request import Place, Reply
from gantline.wire.v2_grpc import encode_reply, parse

X = np.array([1.5, -2], np.float32)


class Bytes:
    """One region in plain memory."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.checked: list[Place] = []

    def read(self, place: Place) -> memoryview:
        return memoryview(bytes(self.data))[place.offset : place.offset + place.size]

    def check(self, place: Place) -> None:
        self.checked.append(place)

    def write(self, place: Place, data: bytes) -> None:
        self.data[place.offset : place.offset + len(data)] = data


def put(parameters: Any, size: int, offset: int = 0) -> None:
    parameters["shared_memory_region"].string_param = "r"
    parameters["shared_memory_byte_size"].int64_param = size
    if offset:
        parameters["shared_memory_offset"].int64_param = offset


def asked() -> Any:
    """x in shared memory, z in the message."""
    out = message("inference.ModelInferRequest")(model_name="m")
    put(out.inputs.add(name="x", datatype="FP32", shape=[2]).parameters, 8, 4)
    out.inputs.add(name="z", datatype="FP32", shape=[2])
    out.raw_input_contents.append(X.tobytes())
    return out


def test_inputs_are_read_from_their_place_and_have_no_raw_entry() -> None:
    memory = Bytes(b"...." + (X * 2).tobytes())
    inputs = parse(asked().SerializeToString()).request(memory).inputs
    assert inputs["x"].tolist() == [3, -4] and inputs["z"].tolist() == [1.5, -2]


def test_outputs_are_written_to_their_place_and_have_an_empty_raw_entry() -> None:
    memory = Bytes(b"#" * 12)
    sent = asked()
    put(sent.outputs.add(name="y").parameters, 9, 2)
    request = parse(sent.SerializeToString()).request(memory)
    assert memory.checked == [Place("r", 2, 9)], "looked at before the model runs"
    reply = Reply("m", "1", [("y", X), ("w", X)])
    found = message("inference.ModelInferResponse").FromString(encode_reply(reply, request, memory))
    assert list(found.raw_output_contents) == [b"", X.tobytes()]
    said = {k: v.string_param or v.int64_param for k, v in found.outputs[0].parameters.items()}
    assert said == {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 2}
    assert bytes(memory.data) == b"##" + X.tobytes() + b"##"


def test_what_cannot_be() -> None:
    both = asked()
    both.inputs[0].contents.fp32_contents.extend([1, 2])
    with pytest.raises(BadRequest, match="input 'x' has contents and a place in shared memory; send one of them"):
        parse(both.SerializeToString()).request(Bytes(b""))
    with pytest.raises(BadRequest, match="input 'x' lies in shared memory region 'r': shared memory is not in use"):
        parse(asked().SerializeToString()).request()
    wish = message("inference.ModelInferRequest")(model_name="m")
    put(wish.outputs.add(name="y").parameters, 4)
    with pytest.raises(BadRequest, match="output 'y' lies in shared memory region 'r': shared memory is not in use"):
        parse(wish.SerializeToString()).request()
    request = parse(wish.SerializeToString()).request(Bytes(b""))
    with pytest.raises(BadRequest, match="should be at least 8 bytes"):
        encode_reply(Reply("m", "1", [("y", X)]), request, Bytes(b"####"))
