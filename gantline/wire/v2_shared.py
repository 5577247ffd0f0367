"""Tensors in shared memory: what V2's parameters say of their place, and what a codec asks of whoever has the memory.

Protocol: Triton's shared-memory extension. No I/O here: the server passes its own `Memory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..errors import BadRequest
from ..request import Place

REGION, OFFSET, SIZE = "shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"


class Memory(Protocol):
    """The regions as one request may use them. Each call: NotFound or BadRequest for a place that is not there."""

    def read(self, place: Place) -> memoryview:
        """A copy of what lies there: it stays as it is, whatever its owner does meanwhile."""
        ...

    def check(self, place: Place) -> None:
        """Whether an answer could be written there."""
        ...

    def write(self, place: Place, data: bytes) -> None:
        """Put an answer there; it is not longer than the place."""
        ...


def place_of(parameters: Mapping[str, Any], what: str) -> Place | None:
    """The place that a tensor's parameters name; None when they name none. BadRequest names `what` they belong to."""
    region = parameters.get(REGION)
    if region is None:
        return None
    offset, size = parameters.get(OFFSET, 0), parameters.get(SIZE)
    if type(region) is not str:
        raise BadRequest(f'{what}: "{REGION}" must be a string')
    if type(offset) is not int or offset < 0:
        raise BadRequest(f'{what}: "{OFFSET}" must be a whole number from 0 up')
    if type(size) is not int or size < 0:
        raise BadRequest(f'{what}: "{SIZE}" must be given, a whole number from 0 up')
    if "binary_data_size" in parameters or parameters.get("binary_data") is True:
        raise BadRequest(f"{what} lies in shared memory: it cannot be in the message as well")
    return Place(region, offset, size)


def read_place(memory: Memory | None, place: Place, what: str) -> memoryview:
    """What lies in a place. BadRequest where no memory is shared."""
    if memory is None:
        raise nowhere(place, what)
    return memory.read(place)


def write_place(memory: Memory | None, place: Place, data: bytes, name: str) -> dict[str, Any]:
    """Put an output in its place, or BadRequest when it does not fit; the parameters that say so in the answer."""
    if memory is None:
        raise nowhere(place, f"output '{name}'")
    if len(data) > place.size:
        raise BadRequest(
            f"shared memory size specified with the request for output '{name}' ({place.size} bytes) should be at "
            f"least {len(data)} bytes to hold the results"
        )
    memory.write(place, data)
    said: dict[str, Any] = {REGION: place.region, SIZE: len(data)}
    return said | {OFFSET: place.offset} if place.offset else said


def nowhere(place: Place, what: str) -> BadRequest:
    """The error for a message that speaks of shared memory where there is none."""
    return BadRequest(f"{what} lies in shared memory region '{place.region}': shared memory is not in use here")
