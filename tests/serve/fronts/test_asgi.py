"""The slow road: a handler behind any ASGI server, driven here by hand and on plain uvicorn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.exchange import Head, Responder
from gantline.serve.fronts.asgi import Endpoint, read_body
from starlette.requests import Request

from gantline.errors import TooLarge

if TYPE_CHECKING:
    from tests.serve.conftest import Running

SCOPE = {
    "type": "http", "method": "POST", "path": "/a b", "raw_path": b"/a%20b", "query_string": b"q=1",
    "headers": [(b"x", b"y")], "client": ("1.2.3.4", 5), "scheme": "https",
}  # fmt: skip
TEXT = [(b"content-type", b"text/plain")]


def body(*parts: bytes) -> list[dict[str, Any]]:
    return [{"type": "http.request", "body": p, "more_body": i + 1 < len(parts)} for i, p in enumerate(parts)]


def drive(handler: Callable[[Head, bytes, Responder], None], *messages: dict[str, Any], limit: int = 100) -> list[Any]:
    """Everything an endpoint sends for these messages; after them nothing comes."""
    sent: list[Any] = []

    async def run() -> None:
        queue = list(messages)

        async def receive() -> Any:
            return queue.pop(0) if queue else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await Endpoint(handler, limit)(SCOPE, receive, send)

    asyncio.run(asyncio.wait_for(run(), 20))
    return sent


def test_a_whole_answer_and_what_the_handler_sees() -> None:
    seen = []

    def handler(head: Head, data: bytes, responder: Responder) -> None:
        seen.append((head.method, head.path, head.query, head.headers, head.client, head.secure, data))
        responder.send(201, TEXT, b"made")

    start, end = drive(handler, *body(b"ab", b"", b"c"))
    assert seen == [(b"POST", b"/a%20b", b"q=1", [(b"x", b"y")], ("1.2.3.4", 5), True, b"abc")]
    assert start["status"] == 201 and (b"content-length", b"4") in start["headers"]
    assert end == {"type": "http.response.body", "body": b"made"}


def test_a_streamed_answer() -> None:
    def handler(head: Head, data: bytes, responder: Responder) -> None:
        responder.start(200, TEXT)
        responder.chunk(b"one")
        responder.chunk(b"two")
        responder.end()

    start, *pieces = drive(handler, *body(b""))
    assert start["headers"] == TEXT
    assert [(p["body"], p["more_body"]) for p in pieces] == [(b"one", True), (b"two", True), (b"", False)]


def test_an_answer_that_comes_later() -> None:
    def handler(head: Head, data: bytes, responder: Responder) -> None:
        asyncio.get_running_loop().call_later(0.01, lambda: responder.send(200, TEXT, b"later"))

    assert drive(handler, *body(b""))[1]["body"] == b"later"


def test_drain_waits_until_the_server_has_taken_what_was_sent() -> None:
    order: list[str] = []

    def handler(head: Head, data: bytes, responder: Responder) -> None:
        async def stream() -> None:
            responder.start(200, TEXT)
            for _ in range(2):
                responder.chunk(b"x")
                await responder.drain()
                order.append("drained")
            responder.end()

        tasks.append(asyncio.ensure_future(stream()))

    tasks: list[asyncio.Task[None]] = []
    assert len(drive(handler, *body(b""))) == 4 and order == ["drained"] * 2


def test_a_body_over_the_limit() -> None:
    start, end = drive(lambda *_: None, *body(b"a" * 60, b"b" * 60))
    assert start["status"] == 413 and (b"connection", b"close") in start["headers"]
    assert b"larger than 100 bytes" in end["body"]


def test_a_client_that_leaves_in_its_body() -> None:
    called: list[bytes] = []
    assert drive(lambda h, b, r: called.append(b), body(b"a", b"")[0], {"type": "http.disconnect"}) == []
    assert called == []


def test_a_client_that_leaves_before_its_answer() -> None:
    left: list[bool] = []

    def handler(head: Head, data: bytes, responder: Responder) -> None:
        responder.on_close(lambda: left.append(responder.closed))

    assert drive(handler, *body(b"a"), {"type": "http.disconnect"}) == []
    assert left == [True]


def test_a_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    def handler(head: Head, data: bytes, responder: Responder) -> None:
        raise ValueError("secret")

    with caplog.at_level(logging.CRITICAL, "gantline.http"):
        start, end = drive(handler, *body(b""))
    assert start["status"] == 500 and b"secret" not in end["body"]


def test_a_stream_that_fails() -> None:
    def handler(head: Head, data: bytes, responder: Responder) -> None:
        responder.start(200, TEXT)
        responder.abort()

    with pytest.raises(ConnectionAbortedError):
        drive(handler, *body(b""))


def test_read_body_stops_at_its_limit() -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 10, "more_body": True}

    with pytest.raises(TooLarge):
        asyncio.run(read_body(Request(SCOPE, receive), 95))


def test_infer_by_the_slow_road_is_the_same(server: Running) -> None:
    request = {"id": "7", "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    hot, slow = server.ask(
        server.post("/v2/models/double/infer", request) + server.post("/v2/models/d%6fuble/infer", request)
    )
    assert hot.status == slow.status == 200 and hot.body == slow.body
