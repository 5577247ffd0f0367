"""gRPC on HTTP/2: by frames, and by grpcio's clients."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hyperframe.frame import RstStreamFrame, WindowUpdateFrame

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Frames, Rpcs

LARGE = bytes(range(256)) * 8192  # 2 MiB
NO_ERROR, CANCEL = 0, 8
ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture
def channel(h2: Running, rpcs: Rpcs) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{h2.port}", [("grpc.use_local_subchannel_pool", 1), *ANY_SIZE]) as made:
        yield made


# -- grpcio's client


def test_calls_of_each_kind(channel: grpc.Channel, rpcs: Rpcs) -> None:
    echo, each = channel.unary_unary("/test/Echo"), channel.stream_stream("/test/Each")
    for message in (b"", b"a", LARGE):
        assert echo(message, timeout=20) == message
    assert list(each(iter([b"one", b"", LARGE, b"two"]), timeout=20)) == [b"one", b"", LARGE, b"two"]
    assert list(each(iter([]), timeout=20)) == []


@pytest.mark.parametrize("way", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compression(channel: grpc.Channel, rpcs: Rpcs, way: grpc.Compression) -> None:
    echo = channel.unary_unary("/test/Echo")
    for message in (b"", b"a" * 200, b"ab" * 5000, LARGE):
        assert echo(message, compression=way, timeout=20) == message
    messages = [LARGE, b"small", b"ab" * 5000, b"", LARGE[:70000]]
    assert list(channel.stream_stream("/test/Each")(iter(messages), compression=way, timeout=20)) == messages


def test_what_went_wrong(channel: grpc.Channel, rpcs: Rpcs, caplog: pytest.LogCaptureFixture) -> None:
    hold = channel.unary_unary("/test/Hold").future(b"x", timeout=20)
    call = rpcs.wait(rpcs.calls, 1)
    details = "no model 'ü' at 100 %\nat all "
    rpcs.server.on_loop(lambda: call.finish(5, details, [(b"x-more", b"1"), (b"x-data-bin", b"AAE")]))
    assert (hold.code(), hold.details()) == (grpc.StatusCode.NOT_FOUND, details)
    assert {k: v for k, v in hold.trailing_metadata() if k[:2] == "x-"} == {"x-more": "1", "x-data-bin": b"\0\1"}
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test/Missing")(b"", timeout=20)
    assert _status(caught.value) == (grpc.StatusCode.UNIMPLEMENTED, "no such method: /test/Missing")
    with pytest.raises(grpc.RpcError) as caught, caplog.at_level(logging.ERROR):
        channel.unary_unary("/test/Raise")(b"", timeout=20)
    assert _status(caught.value) == (grpc.StatusCode.INTERNAL, "internal error; see the server's log")
    assert "a fault in a method" in caplog.text


def test_an_error_after_an_answer(channel: grpc.Channel, rpcs: Rpcs) -> None:
    stream = channel.stream_stream("/test/Gather")(iter([b"a"]), timeout=20)
    call = rpcs.wait(rpcs.calls, 1)
    rpcs.server.on_loop(lambda: call.send(b"first"))
    rpcs.server.on_loop(lambda: call.finish(8, "no more"))
    rpcs.server.on_loop(lambda: call.send(b"late"))
    rpcs.server.on_loop(call.finish)
    assert next(stream) == b"first"
    with pytest.raises(grpc.RpcError):
        next(stream)
    assert (stream.code(), stream.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")


def test_metadata_and_the_deadline_reach_the_method(channel: grpc.Channel, rpcs: Rpcs) -> None:
    hold = channel.unary_unary("/test/Hold").future(
        b"x", timeout=15, metadata=(("x-tenant", "a"), ("x-data-bin", b"\0"))
    )
    call = rpcs.wait(rpcs.calls, 1)
    assert call.head.path == b"/test/Hold" and call.head.get(b"x-tenant") == b"a"
    assert 1e9 < call.deadline - perf_counter_ns() < 16e9  # grpc's own client may round it up
    rpcs.server.on_loop(lambda: call.send(b"y"))
    rpcs.server.on_loop(call.finish)
    assert hold.result() == b"y"
    unlimited = channel.unary_unary("/test/Hold").future(b"x")
    call = rpcs.wait(rpcs.calls, 2)
    assert call.deadline == 0
    unlimited.cancel()
    rpcs.wait(rpcs.left, 1)


def test_a_client_that_cancels_or_is_late(channel: grpc.Channel, rpcs: Rpcs) -> None:
    hold = channel.unary_unary("/test/Hold").future(b"x")
    call = rpcs.wait(rpcs.calls, 1)
    hold.cancel()
    assert rpcs.wait(rpcs.left, 1) is call and call.closed
    rpcs.server.on_loop(lambda: call.send(b"late"))
    rpcs.server.on_loop(call.finish)
    for timeout in (0.5, 3, 15):  # a busy machine may take the shorter ones to get there
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/test/Hold")(b"x", timeout=timeout)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        if len(rpcs.calls) > 1:
            break
    rpcs.wait(rpcs.left, 2)
    assert channel.unary_unary("/test/Echo")(b"a", timeout=20) == b"a"


def test_a_message_that_is_too_large(servers: Callable[..., Running], teach: Callable[[Running], Rpcs]) -> None:
    server = servers(front="h2", max_body_bytes=100_000)
    rpcs = teach(server)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", ANY_SIZE) as channel:
        echo = channel.unary_unary("/test/Echo")
        for message, compression in (
            (bytes(100_001), None),
            (LARGE, None),
            (bytes(200_000), grpc.Compression.Gzip),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                echo(message, timeout=20, compression=compression)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "larger than 100000 bytes" in (caught.value.details() or "")
        assert echo(bytes(100_000), timeout=20) == bytes(100_000)
    assert not rpcs.calls


def _status(error: Any) -> tuple[grpc.StatusCode, str]:
    return error.code(), error.details()


# -- frames


def test_an_answer_is_one_head_one_message_and_trailers(frames: Frames, rpcs: Rpcs) -> None:
    frames.send(frames.rpc(1, "/test/Echo"), *(frames.data(1, bytes((b,))) for b in frames.message(b"abc")))
    frames.send(frames.data(1, b"", True))
    reply = frames.reply(1)
    assert (reply.status, reply.headers) == (200, {"content-type": "application/grpc"})
    assert (reply.body, reply.trailers) == (b"\0\0\0\0\3abc", {"grpc-status": "0"}) and reply.reset is None


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 13, "no message came"),
        (b"\0\0\0", 13, "cut off"),
        (b"\0\0\0\0\5ab", 13, "cut off"),
        (b"\0\0\0\0\1a\0\0\0\0\1b", 13, "a second message came"),
        (b"\2\0\0\0\1a", 13, "begins with 2, expected 0 or 1"),
        (b"\1\0\0\0\1a", 13, "there is no grpc-encoding"),
        (b"\0\xff\xff\xff\xff", 8, "larger than 67108864 bytes"),
    ],
)
def test_bodies_that_are_not_one_message(frames: Frames, rpcs: Rpcs, body: bytes, status: int, words: str) -> None:
    frames.send(frames.rpc(1, "/test/Hold"), frames.data(1, body, True))
    headers = frames.reply(1).headers
    assert headers["grpc-status"] == str(status) and words in headers["grpc-message"] and not rpcs.calls


def test_heads_that_are_wrong(frames: Frames, rpcs: Rpcs) -> None:
    frames.send(frames.rpc(1, "/test/Hold", ("grpc-timeout", "soon")))
    assert frames.reply(1).headers["grpc-status"] == "13" and "grpc-timeout" in frames.reply(1).headers["grpc-message"]
    frames.send(frames.rpc(3, "/test/Hold", ("grpc-encoding", "br")))
    headers = frames.reply(3).headers
    assert headers["grpc-status"] == "12" and headers["grpc-accept-encoding"] == "identity,deflate,gzip"
    frames.send(frames.rpc(5, "/test/Echo", ("grpc-encoding", "identity")), frames.data(5, frames.message(b"a"), True))
    assert frames.reply(5).trailers["grpc-status"] == "0"
    frames.send(frames.rpc(7, "/test/No"))  # refused before its end has come, and told to stop
    frames.reply(7)
    frames.ping()
    assert frames.replies[7].reset == NO_ERROR and not rpcs.calls


PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_messages(frames: Frames, rpcs: Rpcs, coding: str) -> None:
    pack = PACK[coding]
    for stream, data in ((1, b"ab" * 1000), (3, LARGE[:100_000] * 3)):
        frames.send(frames.rpc(stream, "/test/Echo", ("grpc-encoding", coding)))
        frames.send(frames.data(stream, frames.message(pack(data), True), True))
        assert frames.reply(stream).body == frames.message(data)
    frames.send(frames.rpc(5, "/test/Echo", ("grpc-encoding", coding)))
    frames.send(frames.data(5, frames.message(b"short"), True))
    assert frames.reply(5).body == frames.message(b"short")  # compression is each message's own choice
    for stream, damaged in ((7, b"damaged"), (9, pack(LARGE)[:-9])):
        frames.send(frames.rpc(stream, "/test/Echo", ("grpc-encoding", coding)))
        frames.send(frames.data(stream, frames.message(damaged, True), True))
        assert frames.reply(stream).headers["grpc-status"] == "13"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_answers(
    servers: Callable[..., Running], speak: Callable[..., Frames], coding: str, teach: Callable[[Running], Rpcs]
) -> None:
    server = servers(front="h2", grpc_compression=coding)
    teach(server)
    frames = speak(server)
    for stream, data in ((1, b"ab" * 1000), (3, bytes(60_000))):
        frames.send(frames.rpc(stream, "/test/Echo", ("grpc-accept-encoding", f"identity, {coding}")))
        message = frames.message(data)
        frames.send(*(frames.data(stream, message[at : at + 16384]) for at in range(0, len(message), 16384)))
        frames.send(frames.data(stream, b"", True))
        reply = frames.reply(stream)
        assert reply.headers["grpc-encoding"] == coding and reply.body[0] == 1 and len(reply.body) < len(data)
        assert zlib.decompress(reply.body[5:], 47 if coding == "gzip" else 15) == data
    for stream, accepted in ((5, "identity"), (7, "identity,deflate,gzip")):
        frames.send(frames.rpc(stream, "/test/Echo", ("grpc-accept-encoding", accepted)))
        frames.send(frames.data(stream, frames.message(bytes(10 if stream == 7 else 5000)), True))
        assert frames.reply(stream).body == frames.message(bytes(10 if stream == 7 else 5000))
    options = [("grpc.use_local_subchannel_pool", 1), *ANY_SIZE]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
        messages = [LARGE, b"small", b"ab" * 5000, b"", LARGE[:70000]]
        assert list(channel.stream_stream("/test/Each")(iter(messages), timeout=20)) == messages


def test_calls_beyond_the_limit(
    servers: Callable[..., Running], speak: Callable[..., Frames], teach: Callable[[Running], Rpcs]
) -> None:
    server = servers(front="h2", max_grpc_calls=2)
    rpcs, frames = teach(server), speak(server)
    for round in range(3):
        first = 1 + 6 * round
        for stream in (first, first + 2, first + 4):
            frames.send(frames.rpc(stream, "/test/Hold"), frames.data(stream, frames.message(b"a"), True))
        assert frames.reply(first + 4).headers["grpc-status"] == "8"
        rpcs.wait(rpcs.calls, 2 * round + 2)
        server.on_loop(rpcs.calls[2 * round].finish)
        assert frames.reply(first).headers["grpc-status"] == "0"
        frames.send(RstStreamFrame(first + 2, CANCEL))
        frames.ping()


def test_no_grpc(servers: Callable[..., Running], speak: Callable[..., Frames]) -> None:
    frames = speak(servers(front="h2", no_grpc="true"))
    frames.send(frames.rpc(1, "/inference.GRPCInferenceService/ServerLive"))
    assert frames.reply(1).headers["grpc-status"] == "12"


def test_a_bomb(
    servers: Callable[..., Running], speak: Callable[..., Frames], teach: Callable[[Running], Rpcs]
) -> None:
    server = servers(front="h2", max_body_bytes=1 << 20)
    rpcs, frames = teach(server), speak(server)
    for stream, size in ((1, (1 << 20) + 1), (3, 64 << 20)):
        frames.send(frames.rpc(stream, "/test/Hold", ("grpc-encoding", "gzip")))
        packed = frames.message(gzip.compress(bytes(size)), True)
        frames.send(*(frames.data(stream, packed[at : at + 16384]) for at in range(0, len(packed), 16384)))
        frames.send(frames.data(stream, b"", True))
        assert frames.reply(stream).headers["grpc-status"] == "8"
    assert not rpcs.calls


def test_a_reader_that_pauses_makes_its_client_wait_and_nobody_else(frames: Frames, rpcs: Rpcs) -> None:
    message = frames.message(bytes(9995))
    frames.send(frames.rpc(1, "/test/Gather"))
    gather = rpcs.wait(rpcs.calls, 1)
    frames.send(*(frames.data(1, message) for _ in range(6)))
    frames.ping()
    assert len(rpcs.messages) == 1
    assert not [f for f in frames.others if isinstance(f, WindowUpdateFrame) and f.stream_id == 1]
    for stream in (3, 5, 7):  # the connection's window is everybody's
        frames.send(frames.rpc(stream, "/test/Echo"))
        large = frames.message(bytes(40_000))
        frames.send(*(frames.data(stream, large[at : at + 16384]) for at in range(0, len(large), 16384)))
        frames.send(frames.data(stream, b"", True))
        assert frames.reply(stream).body == frames.message(bytes(40_000))
    for count in range(2, 7):
        rpcs.server.on_loop(gather.resume_reading)
        assert len(rpcs.messages) == count
    rpcs.server.on_loop(gather.resume_reading)
    frames.ping()
    given = [f for f in frames.others if isinstance(f, WindowUpdateFrame) and f.stream_id == 1]
    assert sum(f.window_increment for f in given) >= 30_000
    frames.send(frames.data(1, b"", True))
    assert frames.reply(1).headers == {"content-type": "application/grpc", "grpc-status": "0", "came": "6"}


def test_a_stream_is_half_closed_after_its_last_message(frames: Frames, rpcs: Rpcs) -> None:
    frames.send(frames.rpc(1, "/test/Gather"), frames.data(1, frames.message(b"a") + frames.message(b"b"), True))
    gather = rpcs.wait(rpcs.calls, 1)
    frames.ping()
    assert 1 not in frames.replies
    rpcs.server.on_loop(gather.resume_reading)
    assert rpcs.messages == [b"a", b"b"]
    rpcs.server.on_loop(gather.resume_reading)
    assert frames.reply(1).headers["came"] == "2"


def test_a_client_leaves_at_each_stage(frames: Frames, rpcs: Rpcs) -> None:
    message = frames.message(b"abc")
    stages: list[Callable[[int], None]] = [
        lambda s: frames.send(frames.rpc(s, "/test/Echo")),
        lambda s: frames.send(frames.rpc(s, "/test/Echo"), frames.data(s, message[:3])),
        lambda s: frames.send(frames.rpc(s, "/test/Echo"), frames.data(s, message[:6])),
        lambda s: frames.send(frames.rpc(s, "/test/Echo"), frames.data(s, message)),
        lambda s: frames.send(frames.rpc(s, "/test/Hold"), frames.data(s, message, True)),
        lambda s: frames.send(frames.rpc(s, "/test/Each"), frames.data(s, message)),
        lambda s: frames.send(frames.rpc(s, "/test/Echo"), frames.data(s, message, True)),
    ]
    stream = 1
    for leave in stages:
        leave(stream)
        frames.send(RstStreamFrame(stream, CANCEL))
        frames.send(frames.rpc(stream + 2, "/test/Echo"), frames.data(stream + 2, message, True))
        assert frames.reply(stream + 2).body == message
        stream += 4
    assert len(rpcs.wait(rpcs.left, 2).head.path) > 0 and len(rpcs.left) == 2


def test_late_calls_are_given_up(
    servers: Callable[..., Running], speak: Callable[..., Frames], teach: Callable[[Running], Rpcs]
) -> None:
    server = servers(front="h2", body_timeout_s="0.2", request_timeout_s="0.2")
    rpcs, frames = teach(server), speak(server)
    frames.send(frames.rpc(1, "/test/Hold"), frames.data(1, b"\0"))
    frames.send(frames.rpc(3, "/test/Hold"), frames.data(3, frames.message(b"a"), True))
    frames.send(frames.rpc(5, "/test/Each"), frames.data(5, frames.message(b"a")))  # may be silent for ever
    frames.send(frames.rpc(7, "/test/Each"), frames.data(7, b"\0\0\0\0\5a"))
    frames.send(frames.rpc(9, "/test/Each", ("grpc-timeout", "1m")))
    for stream, words in ((1, "stopped for 0.2 s"), (3, "no answer within 0.2 s"), (7, "stopped"), (9, "deadline")):
        headers = frames.reply(stream).headers
        assert headers["grpc-status"] == "4" and words in headers["grpc-message"]
    assert len(rpcs.left) == 3 and not frames.replies[5].ended
