"""One request on HTTP/2: its body, and its answer through the client's windows."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from gantline.serve.exchange import Head, Responder
from gantline.serve.fronts.h2_connection import Http2
from hyperframe.frame import HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Frames, Held

PATH = "/v2/models/double/infer"
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()
NO_ERROR, INTERNAL_ERROR, CANCEL = 0, 2, 8


@pytest.fixture
def held(h2: Running, hold: Callable[[Running], Held]) -> Held:
    return hold(h2)


def test_requests_are_answered_beside_each_other(frames: Frames, held: Held) -> None:
    frames.send(frames.head(1, "/test/hold"), frames.data(1, b"slow", True))
    for stream in range(3, 103, 2):
        frames.send(frames.head(stream, PATH), frames.data(stream, BODY[:40]), frames.data(stream, BODY[40:], True))
    for stream in range(3, 103, 2):
        reply = frames.reply(stream)
        assert reply.status == 200 and json.loads(reply.body)["outputs"][0]["data"] == [2, 4, 6]
        assert reply.headers["content-length"] == str(len(reply.body)) and "date" in reply.headers
    held.answer(1)
    assert frames.reply(1).body == b"held" and held.requests[0][1] == b"slow"


def test_the_head_is_what_was_sent(frames: Frames, held: Held) -> None:
    frames.send(frames.head(1, "/test/hold?a=b%20c&d", ("x-one", "1"), ("x-one", "2"), end=True))
    held.answer(1)
    frames.reply(1)
    head = held.requests[0][0]
    assert (head.method, head.path, head.query, head.secure) == (b"POST", b"/test/hold", b"a=b%20c&d", False)
    assert [v for k, v in head.headers if k == b"x-one"] == [b"1", b"2"] and head.get(b"host") == b"localhost"
    assert head.client is not None and head.client[0] == "127.0.0.1"


def test_a_large_body_comes_through_the_window(frames: Frames, held: Held) -> None:
    body = bytes(range(256)) * 4096  # 1 MiB
    frames.send(frames.head(1, "/test/hold", ("content-length", str(len(body)))))
    room = {0: 65535, 1: 65535}
    for at in range(0, len(body), 16384):
        while min(room.values()) < 16384:
            frames.read()
            for update in (f for f in frames.others if isinstance(f, WindowUpdateFrame)):
                room[update.stream_id] += update.window_increment
            frames.others.clear()
        room = {s: r - 16384 for s, r in room.items()}
        frames.send(frames.data(1, body[at : at + 16384]))
    frames.send(frames.data(1, b"", True))
    held.answer(1)
    assert frames.reply(1).status == 200 and held.requests[0][1] == body


def test_a_large_answer_goes_out_as_there_is_room(h2: Running, speak: Callable[..., Frames], held: Held) -> None:
    answer = bytes(range(256)) * 8192  # 2 MiB
    frames = speak(h2, settings={4: 100_000})
    frames.send(frames.head(1, "/test/hold", end=True), frames.head(3, "/test/hold", end=True))
    held.wait(2)
    held.answer(1, answer)
    held.answer(2, answer)
    assert frames.reply(1).body == answer and frames.reply(3).body == answer
    h2.until(lambda: all(not c.busy() for c in h2.connections if isinstance(c, Http2)))


def test_an_answer_waits_for_its_window_and_holds_nobody_up(
    h2: Running, speak: Callable[..., Frames], held: Held
) -> None:
    frames = speak(h2, settings={4: 0})
    frames.auto = False
    frames.send(frames.head(1, "/test/hold", end=True), frames.head(3, PATH), frames.data(3, BODY, True))
    held.answer(1, bytes(200_000))
    while len(frames.replies) < 2:  # the model's answer may come by a thread
        frames.ping()
    assert frames.replies[1].status == frames.replies[3].status == 200
    assert not frames.replies[1].body and not frames.replies[3].body
    frames.send(WindowUpdateFrame(3, window_increment=1000))
    assert json.loads(frames.reply(3).body)["outputs"][0]["data"] == [2, 4, 6]
    frames.send(SettingsFrame(0, settings={4: 1000}))
    frames.ping()
    assert len(frames.replies[1].body) == 1000
    frames.auto = True
    frames.send(WindowUpdateFrame(0, window_increment=1 << 20), WindowUpdateFrame(1, window_increment=1 << 20))
    assert frames.reply(1).body == bytes(200_000)


def test_an_answer_in_pieces(h2: Running, frames: Frames, held: Held) -> None:
    frames.send(frames.head(1, "/test/hold", end=True))
    responder = held.wait(1)

    def begin() -> None:
        responder.start(201, [(b"x-more", b"yes"), (b"connection", b"close"), (b"transfer-encoding", b"chunked")])
        responder.chunk(b"one ")
        responder.chunk(b"")

    h2.on_loop(begin)
    while b"one" not in getattr(frames.replies.get(1), "body", b""):
        frames.read()
    for call in (lambda: responder.chunk(b"two"), responder.end, lambda: responder.chunk(b"late"), responder.end):
        h2.on_loop(call)
    reply = frames.reply(1)
    assert (reply.status, reply.body, reply.headers["x-more"]) == (201, b"one two", "yes")
    assert not {"connection", "transfer-encoding", "content-length"} & reply.headers.keys()


def test_whoever_writes_waits_for_the_client(h2: Running, speak: Callable[..., Frames]) -> None:
    written: list[int] = []

    async def write(responder: Responder) -> None:
        responder.start(200, [])
        for _ in range(64):
            responder.chunk(bytes(16384))
            written.append(16384)
            await responder.drain()
        responder.end()

    tasks = []
    h2.stack.front.handlers[b"/test/write"] = lambda _, __, r: tasks.append(asyncio.ensure_future(write(r)))
    frames = speak(h2)
    frames.auto = False
    frames.send(frames.head(1, "/test/write", end=True))
    while len(getattr(frames.replies.get(1), "body", b"")) < 65535:
        frames.read()
    frames.ping()
    assert 65535 < sum(written) < 4 * 65535
    frames.auto = True
    frames.send(WindowUpdateFrame(0, window_increment=65535), WindowUpdateFrame(1, window_increment=65535))
    assert frames.reply(1).body == bytes(64 * 16384)
    frames.send(frames.head(3, "/test/write", end=True), RstStreamFrame(3, CANCEL))  # nobody waits for ever
    frames.ping()
    h2.until(lambda: all(task.done() for task in tasks))


def test_pieces_larger_than_a_turn_go_out_without_the_client_s_help(h2: Running, speak: Callable[..., Frames]) -> None:
    """Its windows are wide enough for all, so it has nothing to say that would wake whoever writes."""
    piece = bytes(range(256)) * (5 << 12)  # 5 MiB

    async def write(responder: Responder) -> None:
        responder.start(200, [])
        for _ in range(3):
            responder.chunk(piece)
            await responder.drain()
        responder.end()

    tasks = []
    h2.stack.front.handlers[b"/test/pieces"] = lambda _, __, r: tasks.append(asyncio.ensure_future(write(r)))
    frames = speak(h2, settings={4: 1 << 25})
    frames.auto = False
    frames.send(WindowUpdateFrame(0, window_increment=1 << 25), frames.head(1, "/test/pieces", end=True))
    assert frames.reply(1).body == 3 * piece


def test_a_stream_that_fails_is_reset_and_nothing_else(h2: Running, frames: Frames, held: Held) -> None:
    frames.send(frames.head(1, "/test/hold", end=True), frames.head(3, "/test/hold", end=True))
    first, _ = held.wait(1), held.wait(2)
    for call in (lambda: first.start(200, []), lambda: first.chunk(b"half"), first.abort):
        h2.on_loop(call)
    assert frames.reply(1).reset == INTERNAL_ERROR and first.closed
    held.answer(2)
    assert frames.reply(3).body == b"held"


def test_a_handler_that_raises(h2: Running, frames: Frames, caplog: pytest.LogCaptureFixture) -> None:
    def fault(head: Head, body: bytes, responder: Responder) -> None:
        if body:
            responder.start(200, [])
        if body == b"breaks out":
            responder.send(200, [(b"x", b"a\r\nb: c")], b"")
        raise ValueError("a fault in a handler")

    h2.stack.front.handlers[b"/test/fault"] = fault
    frames.send(frames.head(1, "/test/fault", end=True), frames.head(3, "/test/fault"), frames.data(3, b"x", True))
    with caplog.at_level(logging.ERROR):
        assert (frames.reply(1).status, frames.reply(3).reset) == (500, INTERNAL_ERROR)
    assert json.loads(frames.reply(1).body)["error"] == "internal error; see the server's log"
    assert "a fault in a handler" in caplog.text


def test_a_body_that_is_too_large_is_refused_before_it_has_come(
    servers: Callable[..., Running], speak: Callable[..., Frames]
) -> None:
    server = servers(front="h2", max_body_bytes=1000)
    frames = speak(server)
    frames.send(frames.head(1, PATH, ("content-length", "1001")))
    frames.send(frames.head(3, PATH), frames.data(3, bytes(600)), frames.data(3, bytes(600)))
    frames.send(frames.head(5, "/v2/repository/index", ("content-length", "9" * 18)))
    for stream in (1, 3, 5):
        reply = frames.reply(stream)
        assert reply.status == 413 and b"larger than 1000 bytes" in reply.body
    while len(frames.replies) < 3 or any(r.reset is None for r in frames.replies.values()):
        frames.read()
    assert {r.reset for r in frames.replies.values()} == {NO_ERROR}
    frames.send(frames.data(3, bytes(600), True), frames.head(7, PATH), frames.data(7, BODY, True))
    assert frames.reply(7).status == 200


def test_bodies_beyond_the_limit_wait_for_each_other(
    servers: Callable[..., Running], speak: Callable[..., Frames], hold: Callable[[Running], Held]
) -> None:
    """What one connection may leave unfinished in memory is bounded, and yet all of it is finished."""
    server = servers(front="h2", max_body_bytes=500_000)
    held = hold(server)
    frames = speak(server)
    sent = dict.fromkeys(range(1, 17, 2), 0)
    room = dict.fromkeys([0, *sent], 65535)
    most = 0
    frames.send(*(frames.head(s, "/test/hold") for s in sent))
    (connection,) = server.on_loop(lambda: [c for c in server.connections if isinstance(c, Http2)])
    while any(size < 400_000 for size in sent.values()):
        able = [s for s, size in sent.items() if size < 400_000 and min(room[0], room[s]) >= 10_000]
        if able:
            stream = min(able, key=sent.__getitem__)  # all at once
            sent[stream] += 10_000
            room[stream] -= 10_000
            room[0] -= 10_000
            frames.send(frames.data(stream, bytes(10_000), sent[stream] == 400_000))
            most = max(most, server.on_loop(lambda: connection.inflow._total))
        else:
            frames.read()
            for update in (f for f in frames.others if isinstance(f, WindowUpdateFrame)):
                room[update.stream_id] += update.window_increment
            frames.others.clear()
    held.wait(8)
    assert most < 500_000 + 400_000 + 8 * 65535 and [len(body) for _, body, _ in held.requests] == [400_000] * 8


def test_100_continue(frames: Frames) -> None:
    frames.send(frames.head(1, PATH, ("expect", "100-continue")))
    while not frames.others or type(frames.others[-1]).__name__ != "HeadersFrame":
        frames.read()
    frames.send(frames.data(1, BODY, True))
    assert frames.reply(1).status == 200


def test_trailers_and_damaged_lengths(frames: Frames) -> None:
    frames.send(frames.head(1, PATH), frames.data(1, BODY))
    frames.send(HeadersFrame(1, frames.block(("x-checksum", "1")), flags=["END_HEADERS", "END_STREAM"]))
    assert frames.reply(1).status == 200
    frames.send(frames.head(3, PATH, ("content-length", "5")), frames.data(3, BODY, True))
    assert frames.reply(3).reset == 1
    frames.send(frames.head(5, PATH), frames.data(5, BODY, True))
    assert frames.reply(5).status == 200


def test_the_access_log(
    servers: Callable[..., Running], speak: Callable[..., Frames], caplog: pytest.LogCaptureFixture
) -> None:
    server = servers(front="h2", access_log="true")
    frames = speak(server)
    with caplog.at_level(logging.INFO, "uvicorn.access"):
        frames.send(
            frames.head(1, PATH + "?q"), frames.data(1, BODY, True), frames.head(3, "/no", method="GET", end=True)
        )
        frames.send(frames.rpc(5, "/test/No"), frames.head(7, "/v2", method="GET", end=True))
        for stream in (1, 3, 5, 7):
            frames.reply(stream)
    lines = sorted(r.getMessage().partition(" - ")[2] for r in caplog.records)
    assert lines == [
        '"GET /no HTTP/2" 404',
        '"GET /v2 HTTP/2" 200',
        '"POST /test/No HTTP/2" 200',
        f'"POST {PATH} HTTP/2" 200',
    ]
