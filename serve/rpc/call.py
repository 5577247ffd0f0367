"""Call: what a gRPC front gives a method, and what the method answers through. Bytes and metadata, no transport.

A front (`grpcio`, `h2`) knows HTTP/2; the methods (`service`) know messages. They meet here, so every method is
written once and runs on each front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ..exchange import Head, Headers

# what `Call.finish` takes
Refusal: TypeAlias = tuple[int, str]


class Call(Protocol):
    """One RPC. `send` any number of messages (one, for a unary method), then `finish`; after the client left, both do
    nothing."""

    @property
    def head(self) -> Head:
        """Metadata as headers (names in lower case); `path` is the method's, "/package.Service/Method"."""
        ...

    @property
    def deadline(self) -> int:
        """From grpc-timeout: a `time.perf_counter_ns()`, 0 for none."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the client has left or cancelled."""
        ...

    def send(self, message: bytes) -> None:
        """One serialized response message, without gRPC's prefix of five bytes."""
        ...

    def finish(self, status: int = 0, details: str = "", trailers: Headers | None = None) -> None:
        """End the call with a gRPC status code; `details` says what was wrong."""
        ...

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once if the client leaves or cancels before the call is finished."""
        ...

    def pause_reading(self) -> None:
        """Take no more messages off a client's stream for now: whoever sends must wait."""
        ...

    def resume_reading(self) -> None:
        """Go on taking messages."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""
        ...


class Receiver(Protocol):
    """What a streaming method makes of its client's messages."""

    def message(self, data: bytes) -> None:
        """One serialized request message."""
        ...

    def half_close(self) -> None:
        """The client will send no more; the method goes on until it calls `finish`."""
        ...


# Both run on the event loop, answer now or later through the call, and must not raise.
Unary: TypeAlias = Callable[[Call, bytes], None]
Streaming: TypeAlias = Callable[[Call], Receiver]
# Whether a head is turned away from a method of ours, and how; with False nobody is told of it yet.
Screen: TypeAlias = Callable[[Head, bool], Refusal | None]


@dataclass(frozen=True, slots=True)
class Methods:
    """All that a gRPC port answers, by raw path. What is in neither table is UNIMPLEMENTED.

    `screen`, where there are keys: for fronts to ask before they take a message in.
    """

    unary: Mapping[bytes, Unary] = field(default_factory=dict)
    streaming: Mapping[bytes, Streaming] = field(default_factory=dict)
    screen: Screen | None = None
