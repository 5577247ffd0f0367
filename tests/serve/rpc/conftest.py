"""A front in memory: a test's own calls of the gRPC methods of a real server, on that server's loop."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.serve.exchange import Head, Headers
from gantline.serve.rpc.service import Service

from gantline.pb import message
from gantline.tensors import Array, datatype_of
from gantline.wire.v2_tensors import to_bytes

if TYPE_CHECKING:
    from tests.serve.conftest import Running

WAIT_S = 60.0


class Talk:
    """One call, from the client's side and from the server's (a serve.rpc.call.Call)."""

    def __init__(self, rpc: Rpc, path: str, metadata: dict[str, str], deadline: int) -> None:
        self._rpc = rpc
        headers: Headers = [(k.encode(), v.encode()) for k, v in metadata.items()]
        self.head = Head(b"POST", path.encode(), b"", headers)
        self.deadline = deadline
        self.closed = False
        self.paused = False  # the server asked for no more messages
        self.holding = False  # this client takes no more answers
        self.status: tuple[int, str] | None = None
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._on_close: list[Callable[[], None]] = []
        self._taking = asyncio.Event()
        self.receiver: Any = None

    # -- what the methods see

    def send(self, message: bytes) -> None:
        assert self.status is None, "a message after the end"
        if not self.closed:
            self._answers.put(message)

    def finish(self, status: int = 0, details: str = "", trailers: Headers | None = None) -> None:
        assert self.status is None, "ended twice"
        if not self.closed:
            self.status = int(status), details
            self._answers.put(None)

    def on_close(self, callback: Callable[[], None]) -> None:
        self._on_close.append(callback)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    async def drain(self) -> None:
        while self.holding:
            self._taking.clear()
            await self._taking.wait()

    # -- what a client does

    def put(self, found: Any) -> None:
        """Send a message of a stream."""
        data = found if isinstance(found, bytes) else found.SerializeToString()
        self._rpc.server.on_loop(lambda: self.receiver.message(data))

    def half_close(self) -> None:
        self._rpc.server.on_loop(self.receiver.half_close)

    def take(self) -> None:
        """Take answers again."""

        def go() -> None:
            self.holding = False
            self._taking.set()

        self._rpc.server.on_loop(go)

    def leave(self) -> None:
        """Cancel."""

        def go() -> None:
            self.closed = True
            for callback in self._on_close:
                callback()

        self._rpc.server.on_loop(go)

    def next(self) -> bytes | None:
        """The next answer; None at the end."""
        return self._answers.get(timeout=WAIT_S)

    @property
    def silent(self) -> bool:
        """Whether nothing has come that was not taken."""
        return self._answers.empty()

    def rest(self) -> list[bytes]:
        """All that comes up to the end."""
        return list(iter(self.next, None))


class Rpc:
    """The gRPC methods of a running server."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.service: Service = server.on_loop(server.stack.service)

    def start(self, path: str, found: Any, deadline: int = 0, **metadata: str) -> Talk:
        """Begin a call of one message."""
        (talk,) = self.burst(path, found, deadline=deadline, **metadata)
        return talk

    def burst(self, path: str, *found: Any, deadline: int = 0, **metadata: str) -> list[Talk]:
        """Begin several, in one turn of the server's loop."""
        talks = [
            (Talk(self, path, metadata, deadline), f if isinstance(f, bytes) else f.SerializeToString()) for f in found
        ]

        def go() -> None:
            for talk, data in talks:
                self.service.methods.unary[path.encode()](talk, data)

        self.server.on_loop(go)
        return [talk for talk, _ in talks]

    def ask(self, path: str, found: Any) -> bytes:
        """The answer of a call that succeeds."""
        talk = self.start(path, found)
        (answer,) = talk.rest()
        assert talk.status == (0, "")
        return answer

    def refused(self, path: str, found: Any, deadline: int = 0, **metadata: str) -> tuple[int, str]:
        """Code and details of a call that fails."""
        talk = self.start(path, found, deadline, **metadata)
        assert talk.rest() == [] and talk.status is not None
        return talk.status

    def open(self, path: str, deadline: int = 0, /, **metadata: str) -> Talk:
        """Begin a stream."""
        talk = Talk(self, path, metadata, deadline)

        def go() -> None:
            talk.receiver = self.service.methods.streaming[path.encode()](talk)

        self.server.on_loop(go)
        return talk


def infer_request(model: str, array: Array, id: str = "", name: str = "x") -> Any:
    out = message("inference.ModelInferRequest")(model_name=model, id=id)
    datatype = datatype_of(array)
    out.inputs.add(name=name, datatype=datatype, shape=array.shape)
    out.raw_input_contents.append(to_bytes(array, datatype))
    return out


@pytest.fixture(scope="session")
def rpc(server: Running) -> Rpc:
    """The methods of the server with the zoo."""
    return Rpc(server)


@pytest.fixture(scope="session")
def own_rpc(servers: Callable[..., Running]) -> Callable[..., Rpc]:
    """The methods of a server for one test: `own_rpc(path, max_body_bytes=1000)`."""
    return lambda *refs, **flags: Rpc(servers(*refs, **flags))


@pytest.fixture(scope="session")
def asked() -> Callable[..., Any]:
    """A ModelInferRequest: `asked(model, array, id)`."""
    return infer_request


@pytest.fixture
def row() -> Array:
    return np.array([[1.5, -2, 3]], np.float32)
