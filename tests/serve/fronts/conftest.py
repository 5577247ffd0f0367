"""A hot path whose requests are held until the test answers them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from gantline.serve.exchange import Head, Responder

if TYPE_CHECKING:
    from tests.serve.conftest import Running

WAIT_S = 20.0


class Held:
    """Requests to /test/hold as they came, each with its responder."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.requests: list[tuple[Head, bytes, Responder]] = []
        self._came = threading.Condition()

    def handle(self, head: Head, body: bytes, responder: Responder) -> None:
        with self._came:
            self.requests.append((head, body, responder))
            self._came.notify_all()

    def wait(self, count: int) -> Responder:
        """Until so many have come; the last one's responder."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= count, WAIT_S), len(self.requests)
            return self.requests[count - 1][2]

    def answer(self, which: int, body: bytes = b"held") -> None:
        """Answer the request of that number, counted from 1."""
        responder = self.wait(which)
        self.server.on_loop(lambda: responder.send(200, [(b"content-type", b"text/plain")], body))


@pytest.fixture
def held(server: Running) -> Held:
    found = Held(server)
    server.stack.front.handlers[b"/test/hold"] = found.handle
    return found


@pytest.fixture
def hold() -> Iterator[Callable[[Running], Held]]:
    """The same for a server of the test's own."""

    def on(server: Running) -> Held:
        found = Held(server)
        server.stack.front.handlers[b"/test/hold"] = found.handle
        return found

    yield on
