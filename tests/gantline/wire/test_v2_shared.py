"""Tensors in shared memory, as the codec reads and writes them: over a memory that is one bytearray a region."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gantline.errors import BadRequest
from gantline.request import Place, Reply
from gantline.wire.v2 import decode_request, encode_reply


class Bytes:
    """Regions in plain memory."""

    def __init__(self, **regions: bytes) -> None:
        self.regions = {k: bytearray(v) for k, v in regions.items()}
        self.checked: list[Place] = []

    def read(self, place: Place) -> memoryview:
        return memoryview(bytes(self.regions[place.region])[place.offset : place.offset + place.size])

    def check(self, place: Place) -> None:
        self.checked.append(place)

    def write(self, place: Place, data: bytes) -> None:
        self.regions[place.region][place.offset : place.offset + len(data)] = data


def asked(inputs: dict[str, Any], outputs: dict[str, Any] | None = None, **rest: Any) -> bytes:
    x = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": inputs, **rest}
    tree: dict[str, Any] = {"inputs": [x]}
    if outputs is not None:
        tree["outputs"] = [{"name": "y", "parameters": outputs}]
    return json.dumps(tree).encode()


def at(region: str, size: Any, offset: Any = None) -> dict[str, Any]:
    said = {"shared_memory_region": region, "shared_memory_byte_size": size}
    return said if offset is None else said | {"shared_memory_offset": offset}


def test_inputs_are_read_from_their_place() -> None:
    memory = Bytes(r=b"....." + np.array([1.5, -2], "<f4").tobytes() + b"...")
    request = decode_request(asked(at("r", 8, 5)), None, memory)
    assert request.inputs["x"].tolist() == [1.5, -2]
    text = json.dumps({"inputs": [{"name": "s", "shape": [1], "datatype": "BYTES", "parameters": at("r", 6)}]})
    memory = Bytes(r=b"\2\0\0\0hi")
    assert decode_request(text.encode(), None, memory).inputs["s"].tolist() == [b"hi"]


def test_outputs_are_written_to_their_place() -> None:
    memory = Bytes(r=b"#" * 12)
    request = decode_request(asked({}, at("r", 9, 2), data=[1, 2]), None, memory)
    assert memory.checked == [Place("r", 2, 9)], "looked at before the model runs"
    body, length = encode_reply(Reply("m", "1", [("y", np.array([1, 2], "<f4"))]), request, memory)
    assert length is None
    (entry,) = json.loads(body)["outputs"]
    assert entry == {"name": "y", "datatype": "FP32", "shape": [2], "parameters": at("r", 8, 2)}
    assert bytes(memory.regions["r"]) == b"##" + np.array([1, 2], "<f4").tobytes() + b"##"


def test_an_answer_that_is_longer_than_its_place_is_not_written() -> None:
    memory = Bytes(r=b"#" * 12)
    request = decode_request(asked({}, at("r", 7), data=[1, 2]), None, memory)
    with pytest.raises(BadRequest, match=r"for output 'y' \(7 bytes\) should be at least 8 bytes to hold the results"):
        encode_reply(Reply("m", "1", [("y", np.array([1, 2], "<f4"))]), request, memory)
    assert memory.regions["r"] == b"#" * 12


@pytest.mark.parametrize(
    ("parameters", "rest", "words"),
    [
        (at("r", 8) | {"shared_memory_region": 1}, {}, '"shared_memory_region" must be a string'),
        (at("r", "8"), {}, '"shared_memory_byte_size" must be given'),
        (at("r", -1), {}, '"shared_memory_byte_size" must be given'),
        ({"shared_memory_region": "r"}, {}, '"shared_memory_byte_size" must be given'),
        (at("r", 8, -1), {}, '"shared_memory_offset" must be'),
        (at("r", 8, True), {}, '"shared_memory_offset" must be'),
        (at("r", 8) | {"binary_data_size": 8}, {}, "cannot be in the message as well"),
        (at("r", 8), {"data": [1, 2]}, "send one of them"),
        (at("r", 4), {}, "needs 8 bytes"),
    ],
)
def test_what_is_wrong_is_named(parameters: dict[str, Any], rest: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words) as raised:
        decode_request(asked(parameters, **rest), None, Bytes(r=bytes(8)))
    assert "input 'x'" in raised.value.message


def test_without_shared_memory_such_a_message_is_refused() -> None:
    for body in (asked(at("r", 8)), asked({}, at("r", 8), data=[1, 2])):
        with pytest.raises(BadRequest, match="region 'r': shared memory is not in use here"):
            decode_request(body)
