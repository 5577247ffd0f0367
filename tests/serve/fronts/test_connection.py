"""The life of a connection, its timers and its ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import ssl
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from gantline.serve.fronts.http1 import Http1
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running
    from tests.serve.fronts.conftest import Held

PATH = "/v2/models/double/infer"
BODY = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


# -- timers


@pytest.fixture(scope="module")
def strict(servers: Callable[..., Running]) -> Running:
    return servers(keep_alive_s=0.7, header_timeout_s=0.7, body_timeout_s=0.7, request_timeout_s=0.7)


def each(server: Running, *raws: bytes) -> list[list[Answer]]:
    """Send each on a connection of its own, all at once; what came on each until the server closed it."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(server.connect()) for _ in raws]
        for s, raw in zip(sockets, raws, strict=True):
            s.sendall(raw)
        return [server.answers(server.read_all(s)) for s in sockets]


def test_an_idle_connection_is_closed(strict: Running) -> None:
    found = each(strict, b"", strict.post(PATH, BODY), strict.get("/v2"), b"\r\n")
    assert [[a.status for a in answers] for answers in found] == [[], [200], [200], []]


def test_a_head_that_does_not_end_is_answered_408(strict: Running) -> None:
    parts = (b"P", b"POST /v2 HTTP/1.1\r\n", b"POST /v2 HTTP/1.1\r\nHost: a\r\n", strict.get("/v2") + b"GET ")
    for answers in each(strict, *parts):
        assert answers[-1].status == 408 and "head did not arrive" in answers[-1].json()["error"]


def test_a_head_that_trickles_is_answered_408(strict: Running) -> None:
    stop = threading.Event()
    with strict.connect() as s:

        def trickle() -> None:
            s.sendall(b"GET /v2 HTTP/1.1\r\nX: ")
            while not stop.wait(0.05):
                try:
                    s.sendall(b"x")
                except OSError:
                    return

        sender = threading.Thread(target=trickle)
        sender.start()
        try:
            assert [a.status for a in strict.answers(strict.read_all(s))] == [408]
        finally:
            stop.set()
            sender.join()


def test_a_body_that_stops_is_answered_408(strict: Running) -> None:
    paths = (PATH, "/v2/models/doubl%65/infer", "/v2/repository/index")
    for (answer,) in each(strict, *(strict.post(path, BODY)[:-1] for path in paths)):
        assert answer.status == 408 and "body stopped" in answer.json()["error"]


def test_an_answer_that_does_not_come_is_504(strict: Running, hold: Callable[[Running], Held]) -> None:
    held = hold(strict)
    gone = threading.Event()
    with strict.connect() as s:
        s.sendall(strict.post("/test/hold", b"") + strict.post(PATH, BODY)[:-3])
        responder = held.wait(1)
        strict.on_loop(lambda: responder.on_close(gone.set))
        answer, behind = strict.answers(strict.read_all(s))
    assert behind.status == 408  # the one behind it never came whole
    assert answer.status == 504 and "no answer within 0.7 s" in answer.json()["error"]
    assert gone.is_set() and responder.closed
    held.answer(1)  # too late, and nobody minds
    assert strict.ask(strict.get("/v2"))[0].status == 200


def test_those_behind_an_answer_that_does_not_come_are_answered(
    strict: Running, hold: Callable[[Running], Held]
) -> None:
    held = hold(strict)
    with strict.connect() as s:
        s.sendall(strict.post("/test/hold", b"1") + strict.post(PATH, BODY) + strict.post("/test/hold", b"2") * 2)
        held.answer(2)
        answers = strict.answers(strict.read_all(s))
    assert [a.status for a in answers] == [504, 200, 200, 504]
    assert [a.headers.get("connection") for a in answers] == [None, None, None, "close"]
    held.answer(1)  # too late
    assert [body for _, body, _ in held.requests] == [b"1", b"2", b"2"]


def test_the_body_of_one_that_waits_is_not_timed(
    servers: Callable[..., Running], hold: Callable[[Running], Held]
) -> None:
    server = servers(body_timeout_s=0.3, header_timeout_s=0.3)
    held = hold(server)
    with server.connect() as s:
        raw = server.post(PATH, BODY)
        s.sendall(server.post("/test/hold", b"") + raw[:-3])
        held.wait(1)
        before = server.on_loop(lambda: [c.since for c in server.connections])
        server.until(lambda: server.loop.time() > before[0] + 2.2)  # twice the server's look at its timers
        held.answer(1)
        s.sendall(raw[-3:])
        got = b""
        while got.count(b"HTTP/1.1") < 2 or not got.endswith(b"}]}"):
            got += s.recv(1000)
        assert [a.status for a in server.answers(got)] == [200, 200]


# -- ends


def test_a_half_closed_client_gets_its_answers(server: Running, held: Held) -> None:
    with server.connect() as s:
        s.sendall(server.post("/test/hold", b"") + server.get("/v2") + server.post(PATH, BODY) + b"POST /half")
        s.shutdown(socket.SHUT_WR)
        held.answer(1)
        answers = server.answers(server.read_all(s))
    assert [a.status for a in answers] == [200, 200, 200]


def test_a_client_that_left_is_not_waited_for(server: Running, held: Held) -> None:
    left = threading.Event()
    with server.connect() as s:
        s.sendall(server.post("/test/hold", b""))
        responder = held.wait(1)
        server.on_loop(lambda: responder.on_close(left.set))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert left.wait(20)
    server.on_loop(lambda: responder.on_close(left.clear))  # at once, when it is late
    assert not left.is_set()
    server.until(lambda: not server.connections)


def test_too_many_connections(servers: Callable[..., Running]) -> None:
    server = servers(max_connections=2)
    with server.connect() as one, server.connect() as two:
        for s in (one, two):
            s.sendall(server.get("/v2"))
            assert server.read_answer(s).status == 200
        (answer,) = server.ask(server.get("/v2"))
        assert answer.status == 503 and "too many connections" in answer.json()["error"]
        s.sendall(server.get("/metrics"))
        assert b'gantline_rejections_total{model="",version="",reason="connections"} 1' in server.read_answer(s).body
    server.until(lambda: not server.connections)
    assert server.ask(server.get("/v2"))[0].status == 200


def test_no_connection_keeps_itself_alive(server: Running) -> None:
    def made() -> Any:
        (connection,) = server.connections
        return weakref.ref(connection)

    server.until(lambda: not server.connections)
    with server.connect() as s:
        s.sendall(server.post(PATH, BODY))
        server.read_answer(s)
        gc.disable()
        ref = server.on_loop(made)
    try:
        server.until(lambda: not server.connections)
        server.until(lambda: ref() is None)
    finally:
        gc.enable()


# -- back-pressure


def test_a_client_that_reads_nothing_is_not_read_from(server: Running) -> None:
    shape = [20_000, 3]
    large = {"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "data": [0.5] * 60_000}]}
    raw = server.post(PATH, large)
    with server.connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sent = threading.Thread(target=s.sendall, args=(raw * 60,))
        sent.start()
        server.until(lambda: any(c.flow.write_paused for c in server.connections))
        (connection,) = server.on_loop(lambda: list(server.connections))
        for _ in range(50):
            waiting, buffered = server.on_loop(
                lambda: (len(connection.pipeline), connection.transport.get_write_buffer_size())
            )
            assert waiting <= 2 and buffered < 2 << 20
        assert sent.is_alive()  # its requests are in the kernel, not in our memory
        got = bytearray()
        while got.count(b'"model_version"') < 60 or not got.endswith(b"}]}"):
            got += s.recv(1 << 16)
        sent.join()
        assert [a.status for a in server.answers(bytes(got))] == [200] * 60


def test_a_client_that_never_reads_is_cut_off(servers: Callable[..., Running], hold: Callable[[Running], Held]) -> None:
    server = servers(body_timeout_s=0.3)
    held = hold(server)
    with server.connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        s.sendall(server.post("/test/hold", b""))
        held.answer(1, bytes(64 << 20))
        server.until(lambda: not server.connections)


def test_a_slow_reader_gets_all(server: Running, held: Held) -> None:
    with server.connect() as s:
        s.sendall(server.post("/test/hold", b"") + server.get("/v2"))
        held.answer(1, bytes(8 << 20))
        got = bytearray()
        while len(got) < 8 << 20 or not got.endswith(b"}"):
            got += s.recv(1 << 15)
        assert len(server.answers(bytes(got))[0].body) == 8 << 20


# -- the end of the server


def test_what_was_accepted_is_answered_when_the_server_stops(
    servers: Callable[..., Running], hold: Callable[[Running], Held]
) -> None:
    server = servers()
    held = hold(server)
    with server.connect() as piped, server.connect() as busy, server.connect() as idle, server.connect() as partial_:
        piped.sendall(server.post("/test/hold", b"") + server.get("/v2") + server.post(PATH, BODY) * 3)
        busy.sendall(server.post("/test/hold", b""))
        held.wait(2)
        for s in (idle, partial_):
            s.sendall(server.post(PATH, BODY))
            server.read_answer(s)
        partial_.sendall(server.post(PATH, BODY)[:-1])
        server.until(lambda: any(c.in_body for c in server.connections))
        server.stop()
        assert server.read_all(idle) == b""
        partial_.sendall(server.post(PATH, BODY)[-1:])
        held.answer(1)
        held.answer(2)
        for s, count in ((piped, 5), (busy, 1), (partial_, 1)):
            answers = server.answers(server.read_all(s))
            assert [a.status for a in answers] == [200] * count
            assert [a.headers.get("connection") for a in answers] == [None] * (count - 1) + ["close"]
    server.wait()
    assert server.server.unanswered == 0


def test_a_stream_that_began_before_the_end_may_be_followed_by_a_request(
    servers: Callable[..., Running], hold: Callable[[Running], Held]
) -> None:
    server = servers()
    held = hold(server)
    with server.connect() as s:
        s.sendall(server.post("/test/hold", b""))
        responder = held.wait(1)
        server.on_loop(lambda: responder.start(200, []))
        assert b"transfer-encoding: chunked\r\n\r\n" in s.recv(1000)
        server.stop()
        server.until(lambda: not server.server.servers[0].is_serving())
        server.on_loop(responder.end)
        assert s.recv(1000) == b"0\r\n\r\n"  # its head did not say that it is the last
        s.sendall(server.post(PATH, BODY))
        (answer,) = server.answers(server.read_all(s))
        assert answer.status == 200 and answer.headers["connection"] == "close"
    server.wait()


def test_requests_while_the_server_is_a_lame_duck(servers: Callable[..., Running]) -> None:
    server = servers(drain_s=4)
    with server.connect() as kept, server.connect() as asked:
        for s in (kept, asked):
            s.sendall(server.get("/v2"))
            server.read_answer(s)
        server.stop()
        server.until(lambda: server.stack.front.draining)
        asked.sendall(server.get("/v2/health/ready"))
        (answer,) = server.answers(server.read_all(asked))
        assert answer.status == 503 and answer.headers["connection"] == "close"
        for raw in (server.get("/v2/health/live"), server.post(PATH, BODY), server.post(PATH, BODY) * 2000):
            answers = server.ask(raw)
            assert {a.status for a in answers} == {200} and answers[-1].headers["connection"] == "close"
        assert server.read_all(kept) == b""
    server.wait()


# -- TLS


def test_tls(servers: Callable[..., Running], hold: Callable[[Running], Held], certificate: tuple[Path, Path]) -> None:
    server = servers(tls_certificate=certificate[0], tls_key=certificate[1], max_body_bytes=1 << 20)
    held = hold(server)
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with context.wrap_socket(server.connect(), server_hostname="localhost") as s:
        s.sendall(
            server.post(PATH, BODY) * 50 + server.post("/test/hold", b"") + server.get("/v2", "Connection: close")
        )
        held.answer(1, bytes(1 << 20))
        assert held.requests[0][0].secure
        answers = server.answers(server.read_all(s))
    assert [a.status for a in answers] == [200] * 52 and len(answers[50].body) == 1 << 20
    with context.wrap_socket(server.connect(), server_hostname="localhost") as s:
        s.sendall(server.post(PATH, b"")[:-5] + b"%d\r\n\r\n" % (2 << 20) + bytes(1 << 16))
        assert server.read_answer(s).status == 413
    with server.connect() as plain:  # not TLS at all
        plain.sendall(server.get("/v2"))
        plain.shutdown(socket.SHUT_WR)
        assert b"HTTP" not in server.read_all(plain)
    assert json.loads(answers[51].body)["name"] == "gantline"


def test_loops_other_than_uvloop(server: Running) -> None:
    """The contract with asyncio's own transports, where uvloop is not to be had."""

    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        state = ServerState()
        config = uvicorn.Config(server.stack.app, lifespan="off", log_config=None, ws="none")
        config.load()
        listener = await loop.create_server(lambda: Http1(server.stack.front, config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        writer.write(server.get("/v2/health/live") + server.post("/v2/models/none/infer", b"") + b"\0\r\n")
        raw = await reader.read()
        writer.close()
        listener.close()
        await listener.wait_closed()
        return raw

    assert [a.status for a in server.answers(asyncio.run(run()))] == [200, 404, 400]
