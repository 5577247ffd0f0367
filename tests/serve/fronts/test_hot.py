"""Front and Exchange: what a handler's answer looks like on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.exchange import Head, Responder, Standing
from gantline.serve.fronts.hot import Front
from gantline.serve.statuses import JSON

from gantline.settings import ServeSettings

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running
    from tests.serve.fronts.conftest import Held

TEXT = [(b"content-type", b"text/plain")]


def test_a_front_finds_handlers() -> None:
    def infer(*_: Any) -> None: ...
    def score(*_: Any) -> None: ...

    def other(*_: Any) -> None: ...

    front = Front(ServeSettings(), infer, {b"/a": 1}, {b"/b": score}, faces=[({b"/d": 2}, other), ({}, score)])
    assert front.handler(b"/d") is other
    assert front.handler(b"/a") is infer and front.handler(b"/b") is score and front.handler(b"/c") is None


def test_the_common_headers_are_written_once_and_renewed() -> None:
    front = Front(ServeSettings(), lambda *_: None, {}, {})
    first, second = [(b"date", b"one")], [(b"date", b"two")]
    mine = Standing(JSON, (b"a", b"1"))
    head = b"HTTP/1.1 200 OK\r\ndate: one\r\ncontent-type: application/json\r\na: 1\r\ncontent-length: "
    assert front.standing(mine, first) == mine.head == head and mine.made_for is first
    assert front.standing(mine, second) == head.replace(b"one", b"two") and b"one" not in front.head(404, [], second)
    assert front.head(404, TEXT, second) == b"HTTP/1.1 404 Not Found\r\ndate: two\r\ncontent-type: text/plain\r\n"
    assert front.head(299, [], second).startswith(b"HTTP/1.1 299 \r\n")


def on(server: Running, handler: Callable[[Head, bytes, Responder], None], **changes: str) -> list[Answer]:
    """What a handler's answer looks like, and that the connection goes on (or does not) after it."""
    server.stack.front.handlers[b"/test/one"] = handler
    version = changes.get("version", "1.1")
    return server.ask(server.post("/test/one", b"body", version=version) + server.get("/v2"))


def test_a_whole_answer(server: Running) -> None:
    seen: list[tuple[Head, bytes]] = []

    def handler(head: Head, body: bytes, responder: Responder) -> None:
        seen.append((head, body))
        responder.send(201, [*TEXT, (b"x-a", b"1"), (b"x-b", b"")], b"made")
        responder.send(500, TEXT, b"twice")  # does nothing
        responder.start(500, TEXT)
        responder.chunk(b"x")
        responder.end()
        responder.abort()

    answers = on(server, handler)
    assert (answers[0].status, answers[0].body) == (201, b"made") and len(answers) == 2
    assert answers[0].headers.items() >= {"x-a": "1", "x-b": "", "content-length": "4"}.items()
    assert "date" in answers[0].headers and "connection" not in answers[0].headers
    ((head, body),) = seen
    assert (head.method, head.path, head.query, head.secure, body) == (b"POST", b"/test/one", b"", False, b"body")
    assert head.get(b"host") == b"localhost" and head.get(b"none") is None
    assert head.client is not None and head.client[0] == "127.0.0.1"


def test_a_streamed_answer(server: Running) -> None:
    def handler(head: Head, body: bytes, responder: Responder) -> None:
        responder.start(200, TEXT)
        for piece in (b"one ", b"", b"two"):
            responder.chunk(piece)
        responder.end()

    answers = on(server, handler)
    assert [a.status for a in answers] == [200, 200]
    assert answers[0].body == b"one two" and answers[0].headers["transfer-encoding"] == "chunked"


def test_a_stream_to_an_old_client_ends_with_the_connection(server: Running) -> None:
    def handler(head: Head, body: bytes, responder: Responder) -> None:
        responder.start(200, TEXT)
        responder.chunk(b"one ")
        responder.chunk(b"two")
        responder.end()

    server.stack.front.handlers[b"/test/one"] = handler
    raw = server.talk(server.post("/test/one", b"", version="1.0"), half_close=False)
    assert raw.endswith(b"\r\n\r\none two") and b"connection: close" in raw and b"chunked" not in raw


def test_a_stream_that_fails_cuts_the_connection(server: Running) -> None:
    def handler(head: Head, body: bytes, responder: Responder) -> None:
        responder.start(200, TEXT)
        responder.chunk(b"one")
        raise ValueError("in mid-stream")

    server.stack.front.handlers[b"/test/one"] = handler
    with server.connect() as s:
        s.sendall(server.post("/test/one", b""))
        raw = b""
        with contextlib.suppress(ConnectionResetError):
            raw = server.read_all(s)
    assert not raw.endswith(b"0\r\n\r\n")


def test_a_handler_that_raises_is_answered_500(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    def handler(head: Head, body: bytes, responder: Responder) -> None:
        raise ValueError("secret")

    with caplog.at_level(logging.CRITICAL, "gantline.http"):
        answers = on(server, handler)
    assert [a.status for a in answers] == [500, 200]
    assert answers[0].json() == {"error": "internal error; see the server's log"}


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"a\0"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_header_cannot_break_out_of_the_head(
    server: Running, caplog: pytest.LogCaptureFixture, value: bytes, streamed: bool
) -> None:
    def handler(head: Head, body: bytes, responder: Responder) -> None:
        if streamed:
            responder.start(200, [(b"x", value)])
            responder.end()
        else:
            responder.send(200, [(b"x", value)], b"")

    with caplog.at_level(logging.CRITICAL, "gantline.http"):
        answers = on(server, handler)
    assert [a.status for a in answers] == [500, 200] and "set-cookie" not in answers[0].headers


def test_no_body_where_there_can_be_none(server: Running) -> None:
    for status in (204, 304):
        answers = on(server, lambda head, body, responder, s=status: responder.send(s, TEXT, b"left out"))  # type: ignore[misc]
        assert [a.status for a in answers] == [status, 200] and "content-length" not in answers[0].headers


def test_drain_waits_for_the_reader(server: Running, held: Held) -> None:
    with server.connect() as s:
        s.sendall(server.post("/test/hold", b""))
        responder = held.wait(1)

        async def stream() -> int:
            responder.start(200, TEXT)
            pieces = 0
            while pieces < 1000:
                responder.chunk(bytes(1 << 20))
                pieces += 1
                before = server.loop.time()
                await responder.drain()
                if server.loop.time() - before > 0.05:
                    break
            responder.end()
            return pieces

        future = asyncio.run_coroutine_threadsafe(stream(), server.loop)
        server.until(lambda: any(c.flow.write_paused for c in server.connections))
        assert not future.done()
        total = 0
        while piece := s.recv(1 << 20):
            total += len(piece)
            if piece.endswith(b"0\r\n\r\n"):
                break
        assert total > future.result(20) << 20


def test_the_access_log(servers: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    server = servers(access_log="true")
    with caplog.at_level(logging.INFO, "uvicorn.access"):
        server.ask(server.post("/v2/models/double/infer", b"") + server.get("/v2/x?y"))
    lines = [r.getMessage() for r in caplog.records if r.name == "uvicorn.access"]
    assert ['"POST /v2/models/double/infer HTTP/1.1" 400' in lines[0], '"GET /v2/x?y HTTP/1.1" 404' in lines[1]] == [
        True
    ] * 2
