"""An HTTP/2 connection: its end without losing a call, its limits, floods, and time-outs."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
from gantline.serve.fronts import h2_budget
from gantline.serve.fronts.h2_connection import Http2
from hyperframe.frame import (
    ContinuationFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Frames, Held, Rpcs

PATH = "/v2/models/double/infer"
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()
EVERY = (1 << 31) - 1
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, REFUSED, CANCEL, CALM = 0, 1, 3, 7, 8, 11


def pings(frames: Frames) -> list[Frame]:
    return [f for f in frames.others if isinstance(f, PingFrame) and "ACK" not in f.flags]


def acknowledge(frames: Frames) -> None:
    """Answer the PING that came with the first GOAWAY."""
    ping = frames.until(PingFrame)
    assert isinstance(ping, PingFrame)
    answer = PingFrame(0, ping.opaque_data)
    answer.flags.add("ACK")
    frames.send(answer)


# -- the end of a connection


def test_a_connection_is_rotated_and_no_call_is_lost(frames: Frames, rpcs: Rpcs) -> None:
    most = h2_budget.MOST_STREAMS
    stream = 1
    for _ in range(most // 100):
        for i in range(stream, stream + 200, 2):
            frames.send(frames.rpc(i, "/test/Echo"), frames.data(i, frames.message(b"a"), True))
        for i in range(stream, stream + 200, 2):
            assert frames.reply(i).trailers["grpc-status"] == "0"
        stream += 200
    frames.until(GoAwayFrame)
    assert frames.goaways() == [(EVERY, NO_ERROR)]
    # until it has heard of it, a client goes on
    frames.send(frames.rpc(stream, "/test/Hold"), frames.data(stream, frames.message(b"last"), True))
    held = rpcs.wait(rpcs.calls, 1)
    acknowledge(frames)
    frames.until(GoAwayFrame, 2)
    assert frames.goaways()[1] == (stream, NO_ERROR)
    frames.send(frames.rpc(stream + 2, "/test/Echo"))
    assert frames.reply(stream + 2).reset == REFUSED
    rpcs.server.on_loop(lambda: held.send(b"answer"))
    rpcs.server.on_loop(held.finish)
    assert frames.reply(stream).body == frames.message(b"answer")
    frames.closed()


def test_a_client_that_does_not_answer_the_ping_is_given_a_while(h2: Running, frames: Frames, rpcs: Rpcs) -> None:
    frames.ping()
    (connection,) = h2.on_loop(lambda: [c for c in h2.connections if isinstance(c, Http2)])
    h2.on_loop(connection.leave)
    frames.until(GoAwayFrame, 2)
    assert frames.goaways() == [(EVERY, NO_ERROR), (0, NO_ERROR)]
    frames.closed()


def test_a_client_that_cancels_much_is_rotated_before_zttp_cuts_it_off(frames: Frames, rpcs: Rpcs) -> None:
    for i in range(h2_budget.MOST_RESETS):
        frames.send(frames.rpc(1 + 2 * i, "/test/Hold"), RstStreamFrame(1 + 2 * i, CANCEL))
    frames.until(GoAwayFrame)
    stream = 1 + 2 * h2_budget.MOST_RESETS
    frames.send(frames.rpc(stream, "/test/Echo"), frames.data(stream, frames.message(b"a"), True))
    assert frames.reply(stream).trailers == {"grpc-status": "0"}
    acknowledge(frames)
    frames.closed()
    assert frames.goaways() == [(EVERY, NO_ERROR), (stream, NO_ERROR)]


def test_a_client_that_says_goodbye_gets_its_answers(frames: Frames, rpcs: Rpcs) -> None:
    frames.send(frames.rpc(1, "/test/Hold"), frames.data(1, frames.message(b"a"), True), GoAwayFrame(0))
    call = rpcs.wait(rpcs.calls, 1)
    acknowledge(frames)
    rpcs.server.on_loop(call.finish)
    assert frames.reply(1).trailers == {} and frames.reply(1).headers["grpc-status"] == "0"
    frames.closed()


def test_drain(servers: Callable[..., Running], speak: Callable[..., Frames], hold: Callable[[Running], Held]) -> None:
    server = servers(front="h2")
    held = hold(server)
    idle, busy = speak(server), speak(server)
    idle.ping()
    busy.send(busy.head(1, "/test/hold", end=True))
    held.wait(1)
    server.stop()
    for frames in (idle, busy):
        frames.until(GoAwayFrame)
        acknowledge(frames)
        frames.until(GoAwayFrame, 2)
    assert idle.goaways() == [(EVERY, NO_ERROR), (0, NO_ERROR)] and busy.goaways()[1] == (1, NO_ERROR)
    idle.closed()
    held.answer(1, b"late, and whole")
    assert busy.reply(1).body == b"late, and whole"
    busy.closed()
    server.wait()
    assert not server.server.unanswered


def test_while_draining_new_connections_are_answered_and_sent_away(
    servers: Callable[..., Running], speak: Callable[..., Frames]
) -> None:
    server = servers(front="h2", drain_s="1.5")
    server.stop()
    server.until(lambda: server.stack.front.draining)
    frames = speak(server)
    frames.send(frames.head(1, PATH), frames.data(1, BODY, True))
    assert frames.reply(1).status == 200
    frames.until(GoAwayFrame)
    acknowledge(frames)
    frames.closed()
    server.wait()


# -- a client that leaves


@pytest.mark.parametrize("by", ["reset", "close"])
def test_a_client_that_leaves_is_noticed(h2: Running, frames: Frames, rpcs: Rpcs, by: str) -> None:
    frames.send(frames.rpc(1, "/test/Hold"), frames.data(1, frames.message(b"a"), True))
    frames.send(frames.rpc(3, "/test/Each"), frames.data(3, frames.message(b"b")))
    rpcs.wait(rpcs.calls, 2)
    if by == "reset":
        frames.send(RstStreamFrame(1, CANCEL), RstStreamFrame(3, CANCEL))
    else:
        frames.close()
    rpcs.wait(rpcs.left, 2)
    assert all(call.closed for call in rpcs.left)
    for call in rpcs.left:
        h2.on_loop(partial(call.send, b"late"))
        h2.on_loop(partial(call.finish, 2, "late"))
    if by == "reset":  # the others go on
        frames.send(frames.rpc(5, "/test/Echo"), frames.data(5, frames.message(b"a"), True))
        assert frames.reply(5).trailers == {"grpc-status": "0"} and 1 not in frames.replies


# -- limits and floods


def test_what_is_no_http2_ends_the_connection_with_the_reason(h2: Running, speak: Callable[..., Frames]) -> None:
    wrong: list[tuple[bytes, int]] = [
        (struct.pack(">I", 20000)[1:] + b"\0\0\0\0\0\1" + bytes(20000), 6),  # FRAME_SIZE_ERROR
        (WindowUpdateFrame(0, window_increment=(1 << 31) - 1).serialize(), FLOW_CONTROL_ERROR),
        (HeadersFrame(2, b"", flags=["END_HEADERS"]).serialize(), PROTOCOL_ERROR),
        (HeadersFrame(1, b"\xff\xff\xff", flags=["END_HEADERS"]).serialize(), 9),  # COMPRESSION_ERROR
        (ContinuationFrame(1, b"").serialize(), PROTOCOL_ERROR),
    ]
    for raw, code in wrong:
        frames = speak(h2)
        frames.raw(raw)
        frames.closed()
        assert [c for _, c in frames.goaways()] == [code], raw[:20]


def test_too_much_is_calmed(h2: Running, speak: Callable[..., Frames], rpcs: Rpcs) -> None:
    frames = speak(h2)
    frames.send(HeadersFrame(1, b""), *(ContinuationFrame(1, b"") for _ in range(100)))
    frames.closed()
    assert frames.goaways() == [(1, CALM)]
    for one in (PingFrame(0, b"12345678"), SettingsFrame(0, settings={4: 100})):
        frames = speak(h2)
        frames.ping()
        frames.raw(one.serialize() * 10_000)
        frames.closed()
        assert frames.goaways() == [(0, CALM)]
    frames = speak(h2)
    for i in range(1000):  # rapid reset, by one who does not listen
        frames.raw(frames.rpc(1 + 2 * i, "/test/Hold").serialize() + RstStreamFrame(1 + 2 * i, CANCEL).serialize())
    frames.closed()
    assert frames.goaways()[-1] == (513, CALM)
    assert not rpcs.calls


def test_streams_at_once(frames: Frames, rpcs: Rpcs) -> None:
    frames.send(*(frames.rpc(1 + 2 * i, "/test/Each") for i in range(140)))
    frames.ping()
    assert {s for s, r in frames.replies.items() if r.reset == REFUSED} == {1 + 2 * i for i in range(128, 140)}
    frames.send(frames.data(1, b"", True))
    assert frames.reply(1).headers["grpc-status"] == "0"
    frames.send(frames.rpc(999, "/test/Echo"), frames.data(999, frames.message(b""), True))
    assert frames.reply(999).trailers["grpc-status"] == "0"


def test_whoever_does_not_read_is_not_read_from(h2: Running, frames: Frames, rpcs: Rpcs) -> None:
    frames.ping()
    (connection,) = h2.on_loop(lambda: [c for c in h2.connections if isinstance(c, Http2)])
    echo = frames.message(bytes(16000))
    frames.send(WindowUpdateFrame(0, window_increment=1 << 30))

    def send_on_and_on() -> None:
        with contextlib.suppress(OSError):
            for stream in itertools.count(1, 2):
                frames.send(frames.rpc(stream, "/test/Echo"), frames.data(stream, echo, True))

    sending = threading.Thread(target=send_on_and_on)
    sending.start()
    try:
        h2.until(lambda: connection.flow.read_paused)
        for _ in range(50):
            assert h2.on_loop(connection.transport.get_write_buffer_size) < 4 << 20
        assert h2.on_loop(lambda: connection.flow.read_paused) and sending.is_alive()
    finally:
        frames.socket.shutdown(socket.SHUT_RDWR)
        sending.join(20)


# -- time


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(
    servers: Callable[..., Running], speak: Callable[..., Frames], hold: Callable[[Running], Held]
) -> None:
    server = servers(front="h2", keep_alive_s="0.8")
    held = hold(server)
    busy, idle = speak(server), speak(server)
    busy.send(busy.head(1, "/test/hold", end=True))
    held.wait(1)
    idle.send(*(PriorityFrame(1) for _ in range(10)))
    idle.ping()
    idle.closed()
    assert idle.goaways() == [(EVERY, NO_ERROR), (0, NO_ERROR)] and not busy.goaways()
    held.answer(1)
    assert busy.reply(1).body == b"held"


def test_a_preface_that_does_not_come(servers: Callable[..., Running]) -> None:
    server = servers(front="h2", header_timeout_s="0.2", body_timeout_s="0.2")
    with server.connect() as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert server.read_all(s)[:9] == b"\0\0\x1e\4\0\0\0\0\0"


def test_bodies_and_answers_that_stop(
    servers: Callable[..., Running], speak: Callable[..., Frames], hold: Callable[[Running], Held]
) -> None:
    server = servers(front="h2", body_timeout_s="0.2", request_timeout_s="1.2")
    held = hold(server)
    frames = speak(server, settings={4: 0})
    frames.auto = False
    frames.send(frames.head(1, PATH), frames.data(1, b"{"))
    frames.send(frames.head(3, "/test/hold", end=True))
    frames.send(frames.rpc(5, "/none"))
    held.wait(1)
    assert frames.reply(5).headers["grpc-status"] == "12"
    while {1, 3} - frames.replies.keys():
        frames.read()
    # the bodies of both answers have no room, and in the end nobody waits
    assert frames.replies[1].status == 408 and frames.replies[3].status == 504
    assert frames.reply(1).reset == CANCEL and frames.reply(3).reset == CANCEL
    frames.ping()
