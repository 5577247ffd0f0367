"""Connections of the asyncio client: kept, found stale, cut off, too slow, cancelled; against scripted bytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gantline.client.address import Address
from gantline.client.exchange import Answer, Call
from gantline.client.streams import Streams
from gantline.errors import DeadlineExceeded, Unreachable

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
GET, ONCE = Call("GET", "/v2"), Call("POST", "/score", b"body", (), repeatable=False)
Start = Callable[[list[list[bytes]]], Any]


def _send(url: str, *calls: Call, timeout_s: float = 20.0, between: threading.Event | None = None) -> list[Answer]:
    """The calls, one after the other, on one client; `between`: wait for it after the first."""

    async def main() -> list[Answer]:
        streams = Streams(Address.of(url), 2, timeout_s)
        answers = []
        try:
            for call in calls:
                answers.append(await streams.send(call, (("x-key", "k"),)))
                if between is not None:
                    await asyncio.to_thread(between.wait, 10)
        finally:
            await streams.close()
        return answers

    return asyncio.run(main())


def test_one_connection_is_kept(scripted: Start) -> None:
    server = scripted([[OK, OK, OK]])
    assert [a.body for a in _send(server.url + "/prefix", GET, ONCE, GET)] == [b"ok"] * 3
    assert server.requests[0].startswith(b"GET /prefix/v2 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"x-key: k" in server.requests[0] and server.requests[1].endswith(b"\r\ncontent-length: 4\r\n\r\nbody")


def test_a_connection_that_the_server_closed_is_not_used(scripted: Start) -> None:
    server = scripted([[OK], [OK]])
    assert len(_send(server.url, ONCE, ONCE, between=server.closed[0])) == 2
    assert len(server.requests) == 2


def test_closed_before_the_answer(scripted: Start) -> None:
    """The request arrives on a kept connection, which closes without a byte: once more, if that is harmless."""
    server = scripted([[OK, b""], [OK]])
    assert len(_send(server.url, GET, GET)) == 2
    assert len(server.requests) == 3
    server = scripted([[OK, b""]])
    with pytest.raises(Unreachable, match="closed the connection before it answered"):
        _send(server.url, GET, ONCE)
    assert len(server.requests) == 2


def test_a_fresh_connection_is_not_tried_twice(scripted: Start) -> None:
    server = scripted([[b""]])
    with pytest.raises(Unreachable, match="before it answered"):
        _send(server.url, GET)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "cut off, 7 bytes are missing"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok", "cut off, 3 bytes are missing"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "0 bytes read"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "less than zero"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP: 'SSH-2.0-OpenSSH'"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\n\r\n", "head is larger than 65536 bytes"),
        (b"HTTP/1.1 200", "cut off in its head"),
    ],
)
def test_damaged_answers(scripted: Start, answer: bytes, message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        _send(scripted([[answer]]).url, GET)


@pytest.mark.parametrize(
    ("answer", "body", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\nt: 1\r\n\r\n", b"ok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end", b"to the end", False),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old", False),
    ],
)
def test_forms_of_answers(scripted: Start, answer: bytes, body: bytes, kept: bool) -> None:
    server = scripted([[answer, OK]] if kept else [[answer], [OK]])
    assert [a.body for a in _send(server.url, GET, GET)] == [body, b"ok"]


def test_too_slow(scripted: Start) -> None:
    server = scripted([[b"wait"]])
    with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s; allow more"):
        _send(server.url, GET, timeout_s=0.05)
    assert server.closed[0].wait(10), "the connection is closed, not kept"


def test_a_cancelled_call_gives_its_turn_and_not_its_connection(scripted: Start) -> None:
    server = scripted([[b"wait"], [OK]])

    async def main() -> None:
        streams = Streams(Address.of(server.url), 1, 20.0)
        first = asyncio.create_task(streams.send(GET, ()))
        second = asyncio.create_task(streams.send(GET, ()))
        await asyncio.to_thread(_until, lambda: bool(server.requests))
        assert not second.done()
        first.cancel()
        assert (await second).body == b"ok"
        await streams.close()

    asyncio.run(main())
    assert server.closed[0].wait(10)


def _until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.001)


def test_nobody_listens_and_closed() -> None:
    with pytest.raises(Unreachable, match="nothing listens there; start a server"):
        _send("http://127.0.0.1:1", GET)

    async def main() -> None:
        streams = Streams(Address.of("http://127.0.0.1:1"), 1, 20.0)
        await streams.close()
        await streams.send(GET, ())

    with pytest.raises(Unreachable, match="is closed"):
        asyncio.run(main())
