"""Request and Reply: what every front gives the core and takes from it, whatever the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from .tensors import Array

Parameter: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a shared-memory region: where a tensor is read, or may be written. In bytes."""

    region: str
    offset: int
    size: int


@dataclass(slots=True)
class RequestedOutput:
    """One output that the caller asks for.

    `binary` None: as the request says; `classes` > 0: the top k as labels; `place`: there, and not in the message.
    """

    name: str
    binary: bool | None = None
    classes: int = 0
    place: Place | None = None
    parameters: dict[str, Parameter] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """One inference request, decoded. Times are `time.perf_counter_ns()`; `deadline` is one too, 0 for none."""

    inputs: dict[str, Array]
    model: str = ""
    version: str = ""
    id: str | None = None
    parameters: dict[str, Parameter] | None = None
    outputs: list[RequestedOutput] | None = None  # None: all of the model's
    binary_output: bool = False  # what outputs default to when they do not say
    deadline: int = 0
    priority: int = 0
    tenant: bytes = b""
    sequence: int | str = 0  # requests of one sequence run in order, on one state; 0 for none
    sequence_start: bool = False
    sequence_end: bool = False
    arrived: int = 0
    queued: int = 0
    asked: object = None  # the codec's own: in which form the answer is to be written; None: the usual one


@dataclass(slots=True)
class Reply:
    """One answer: outputs in the order in which they are to be sent."""

    model: str
    version: str
    outputs: list[tuple[str, Array]]
    id: str | None = None
    parameters: dict[str, Parameter] | None = None
