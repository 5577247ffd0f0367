"""Connections of the blocking client: kept, found stale, cut off, too slow; against scripted bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gantline.client.address import Address
from gantline.client.exchange import Call
from gantline.client.pool import Pool
from gantline.errors import DeadlineExceeded, Unreachable

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
GET, ONCE = Call("GET", "/v2"), Call("POST", "/score", b"body", (), repeatable=False)
Start = Callable[[list[list[bytes]]], Any]


def _pool(url: str, timeout_s: float = 20.0, connections: int = 2) -> Pool:
    return Pool(Address.of(url), connections, timeout_s)


def test_one_connection_is_kept(scripted: Start) -> None:
    server = scripted([[OK, OK, OK]])
    pool = _pool(server.url + "/prefix")
    for _ in range(3):
        assert pool.send(GET, (("x-key", "k"),)).body == b"ok"
    pool.close()
    assert server.requests[0].startswith(b"GET /prefix/v2 HTTP/1.1\r\n") and b"x-key: k" in server.requests[0]


def test_a_connection_that_the_server_closed_is_not_used(scripted: Start) -> None:
    server = scripted([[OK], [OK]])
    pool = _pool(server.url)
    pool.send(ONCE, ())
    server.closed[0].wait(10)
    assert pool.send(ONCE, ()).body == b"ok"
    pool.close()
    assert len(server.requests) == 2


def test_closed_before_the_answer(scripted: Start) -> None:
    """The request arrives on a kept connection, which closes without a byte: once more, if that is harmless."""
    server = scripted([[OK, b""], [OK]])
    pool = _pool(server.url)
    pool.send(GET, ())
    assert pool.send(GET, ()).body == b"ok"
    pool.close()
    assert len(server.requests) == 3
    server = scripted([[OK, b""]])
    pool = _pool(server.url)
    pool.send(GET, ())
    with pytest.raises(Unreachable, match="closed the connection before it answered"):
        pool.send(ONCE, ())
    assert len(server.requests) == 2


def test_a_fresh_connection_is_not_tried_twice(scripted: Start) -> None:
    server = scripted([[b""]])
    with pytest.raises(Unreachable, match="before it answered"):
        _pool(server.url).send(GET, ())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "cut off"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok", "IncompleteRead"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "SSH"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\n\r\n", "header line"),
    ],
)
def test_damaged_answers(scripted: Start, answer: bytes, message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        _pool(scripted([[answer]]).url).send(GET, ())


@pytest.mark.parametrize(
    ("answer", "body", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end", b"to the end", False),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old", False),
    ],
)
def test_forms_of_answers(scripted: Start, answer: bytes, body: bytes, kept: bool) -> None:
    server = scripted([[answer, OK]] if kept else [[answer], [OK]])
    pool = _pool(server.url)
    assert pool.send(GET, ()).body == body
    assert pool.send(GET, ()).body == b"ok"
    pool.close()


def test_too_slow(scripted: Start) -> None:
    server = scripted([[b"wait"]])
    pool = _pool(server.url, timeout_s=0.05)
    with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s; allow more"):
        pool.send(GET, ())
    assert server.closed[0].wait(10), "the connection is closed, not kept"


def test_a_call_waits_for_its_turn(scripted: Start) -> None:
    server = scripted([[OK]])
    pool = _pool(server.url, timeout_s=0.05, connections=1)
    with pool._turns, pytest.raises(DeadlineExceeded):  # as while another thread's call is under way
        pool.send(GET, ())
    assert server.requests == []
    pool._timeout_s = 20.0  # so short a limit was for the turn alone
    assert pool.send(GET, ()).body == b"ok"
    pool.close()


def test_nobody_listens_and_closed() -> None:
    with pytest.raises(Unreachable, match="nothing listens there; start a server"):
        _pool("http://127.0.0.1:1").send(GET, ())
    pool = _pool("http://127.0.0.1:1")
    pool.close()
    with pytest.raises(Unreachable, match="is closed"):
        pool.send(GET, ())
