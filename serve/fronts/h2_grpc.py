"""gRPC on HTTP/2: a stream as a serve.rpc.call.Call."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import Executor
from time import perf_counter_ns
from typing import TYPE_CHECKING

from gantline.errors import BadRequest, GantlineError, TooLarge, Unsupported
from gantline.settings import ServeSettings

from ..compression import COMPRESS_FROM, compress, decompress
from ..exchange import Head, Headers
from ..rpc.call import Methods, Receiver, Streaming, Unary
from .h2_messages import Messages, percent_encoded, timeout_ns
from .h2_stream import Stream

if TYPE_CHECKING:
    from .h2_connection import Http2

_TYPE = (b"content-type", b"application/grpc")
_CODINGS = (b"gzip", b"deflate")
_ACCEPTED = (b"grpc-accept-encoding", b"identity,deflate,gzip")
_OK = (b"grpc-status", b"0")
_HEAD: Headers = [_TYPE]
_END: Headers = [_OK]
_JOIN_UP_TO = 64 << 10  # bytes; a larger message is written by itself instead of being copied behind its prefix
_UNPACK_APART = 4 << 10  # bytes; larger compressed messages, that can grow a thousandfold, are unpacked on a thread
_PACK_APART = 16 << 10  # bytes; larger messages are compressed on a thread
_GRACE_NS = 10**9  # after a deadline: it is the method's and the client's to keep, and ours only when both failed
DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 4, 8, 12, 13, 14
_log = logging.getLogger("gantline.grpc")


class Rpc:
    """What the calls of one server share: the methods, and the limits."""

    __slots__ = ("coding", "max_calls", "methods", "pool", "under_way")

    def __init__(self, methods: Methods, settings: ServeSettings, pool: Executor) -> None:
        self.methods = methods
        self.pool = pool
        self.max_calls = settings.max_grpc_calls
        self.coding = settings.grpc_compression.encode() if settings.grpc_compression != "none" else b""
        self.under_way = 0

    def has(self, path: bytes) -> bool:
        """Whether there is a method of that name."""
        return path in self.methods.unary or path in self.methods.streaming


class GrpcStream(Stream):
    """One RPC."""

    __slots__ = (
        "_accepted", "_coding", "_counted", "_ended", "_inbox", "_messages", "_outbox", "_paused", "_receiver",
        "_started", "_unary", "_unpacking", "deadline", "message",
    )  # fmt: skip

    def __init__(self, connection: Http2, id: int, head: Head) -> None:
        super().__init__(connection, id, head)
        self.deadline = 0
        self.message: bytes | None = None  # a unary method's
        self._unary: Unary | None = None
        self._receiver: Receiver | None = None
        self._messages = Messages(connection.front.max_body_bytes)
        self._inbox: deque[tuple[bool, bytes]] = deque()
        self._outbox: deque[tuple[bytes | None, int, str, Headers | None]] | None = None
        self._coding = b""  # of the client's messages
        self._accepted = b""  # the coding of the answer, if the client can read it
        self._counted = False
        self._started = False  # the answer's head has been sent
        self._paused = False  # by the method
        self._unpacking = False  # on a thread
        self._ended = False  # the client's end has been passed on

    def begin(self) -> None:
        """The head has come."""
        rpc, path = self.connection.rpc, self.head.path
        for name, value in self.head.headers:
            if name[:5] != b"grpc-":
                continue
            if name == b"grpc-timeout":
                try:
                    self.deadline = perf_counter_ns() + timeout_ns(value)
                except BadRequest as e:
                    self.finish(INTERNAL, e.message)
                    return
            elif name == b"grpc-encoding" and value != b"identity":
                if value not in _CODINGS:
                    text = f"grpc-encoding {value.decode('latin-1')!r} is not supported; use gzip or deflate"
                    self.finish(UNIMPLEMENTED, text, [_ACCEPTED])
                    return
                self._coding = value
            elif name == b"grpc-accept-encoding" and rpc.coding and rpc.coding in value.replace(b" ", b"").split(b","):
                self._accepted = rpc.coding
        screen = rpc.methods.screen
        if screen is not None and rpc.has(path) and (refused := screen(self.head, True)) is not None:
            self.finish(*refused)
            return
        if rpc.max_calls and rpc.under_way >= rpc.max_calls:
            self.finish(RESOURCE_EXHAUSTED, f"{rpc.under_way} calls are under way; try again later")
            return
        rpc.under_way += 1
        self._counted = True
        self._unary = rpc.methods.unary.get(path)
        if self._unary is None:
            streaming = rpc.methods.streaming.get(path)
            if streaming is None:
                self.finish(UNIMPLEMENTED, f"no such method: {path.decode('latin-1')}")
            else:
                self._open(streaming)

    def _open(self, streaming: Streaming) -> None:
        try:
            receiver = streaming(self)
        except Exception:
            self._broken()
            return
        if not self.answered:
            self._receiver = receiver

    # -- the request

    def take(self, data: bytes) -> None:
        if self.answered:
            return
        held = self._messages.held
        try:
            found = self._messages.feed(data)
        except GantlineError as e:
            self.finish(RESOURCE_EXHAUSTED if isinstance(e, TooLarge) else INTERNAL, e.message)
            return
        if held or self._messages.held:
            self.connection.keeps(self, self._messages.held)
        if found:
            self._inbox.extend(found)
            self._deliver()

    def complete(self) -> None:
        if self._messages.held:
            self.finish(INTERNAL, "the client's last message is cut off")
        self._deliver()

    def lost(self) -> None:
        super().lost()
        self._forget()

    def _forget(self) -> None:
        """The call is over. A receiver has its call: what refers to each other is not freed at once."""
        self._receiver = self._unary = None
        self._inbox.clear()
        if self._counted:
            self._counted = False
            self.connection.rpc.under_way -= 1

    def _deliver(self) -> None:
        """Pass on what has come, in order, as far as the method wants it."""
        inbox = self._inbox
        while inbox and not (self._paused or self._unpacking or self.answered or self.closed):
            compressed, data = inbox.popleft()
            if not compressed:
                self._pass_on(data)
            elif len(data) > _UNPACK_APART:
                self._unpack_apart(data)
            else:
                try:
                    unpacked = self._unpack(data)
                except GantlineError as e:
                    self._refuse(e)
                    return
                self._pass_on(unpacked)
        if self.whole and not (inbox or self._ended or self._paused or self._unpacking or self.answered or self.closed):
            self._ended = True
            self._half_close()

    def _pass_on(self, data: bytes) -> None:
        if self._receiver is not None:
            try:
                self._receiver.message(data)
            except Exception:
                self._broken()
        elif self.message is None:
            self.message = data
        else:
            self.finish(INTERNAL, "a second message came, and the method takes one")

    def _half_close(self) -> None:
        try:
            if self._receiver is not None:
                self._receiver.half_close()
            elif self.message is None:
                self.finish(INTERNAL, "no message came, and the method takes one")
            elif self._unary is not None:
                message, self.message = self.message, None
                self._unary(self, message)
        except Exception:
            self._broken()

    def _unpack(self, data: bytes) -> bytes:
        if not self._coding:
            raise BadRequest("a message is compressed, and there is no grpc-encoding")
        return decompress(data, self._coding, self.connection.front.max_body_bytes)

    def _unpack_apart(self, data: bytes) -> None:
        def unpacked(future: asyncio.Future[bytes]) -> None:
            self._unpacking = False
            error = None if future.cancelled() else future.exception()
            if self.answered or self.closed:
                return
            if isinstance(error, GantlineError):
                self._refuse(error)
            elif error is not None or future.cancelled():
                self.finish(INTERNAL, "a message could not be unpacked; see the server's log")
            else:
                self._pass_on(future.result())
                self._deliver()

        try:
            work = self.connection.loop.run_in_executor(self.connection.rpc.pool, self._unpack, data)
        except RuntimeError:  # the pool has been shut down
            self.finish(UNAVAILABLE, "the server is stopping; try again elsewhere")
            return
        self._unpacking = True
        work.add_done_callback(unpacked)

    def _refuse(self, error: GantlineError) -> None:
        status = RESOURCE_EXHAUSTED if isinstance(error, TooLarge) else INTERNAL
        self.finish(UNIMPLEMENTED if isinstance(error, Unsupported) else status, error.message)

    def _broken(self) -> None:
        # methods must not raise; one that does must not leave its client waiting for ever
        _log.exception("%s", self.head.path.decode("latin-1"))
        self.finish(INTERNAL, "internal error; see the server's log")

    def late(self, now: float) -> None:
        front = self.connection.front
        partly = self._messages.held or (self._receiver is None and not self.whole)
        if self.deadline and perf_counter_ns() > self.deadline + _GRACE_NS:
            self._give_up("the deadline has passed")
        elif partly:
            if 0 < front.body_timeout_s < now - self.since and self.id not in self.connection.inflow.held:
                self._give_up(f"the request stopped for {front.body_timeout_s:g} s")
        elif self._receiver is None and 0 < front.request_timeout_s < now - self.since:
            self._give_up(f"no answer within {front.request_timeout_s:g} s")

    def _give_up(self, details: str) -> None:
        callbacks = self._close_callbacks
        self.finish(DEADLINE_EXCEEDED, details)
        for callback in callbacks:
            callback()

    # -- Call

    def send(self, message: bytes) -> None:
        if self.answered or self.closed:
            return
        if self._outbox is not None:
            self._outbox.append((message, 0, "", None))
        elif self._accepted and len(message) >= COMPRESS_FROM:
            if len(message) > _PACK_APART:
                self._pack_apart(message)
            else:
                self._put(b"\1", compress(message, self._accepted))
        else:
            self._put(b"\0", message)

    def _put(self, flag: bytes, message: bytes) -> None:
        if not self._started:
            self._started = True
            head = [_TYPE, (b"grpc-encoding", self._accepted)] if self._accepted else _HEAD
            self.handle.send_response(200, head)
        prefix = flag + len(message).to_bytes(4, "big")
        if len(message) <= _JOIN_UP_TO:
            self.write(prefix + message)
        else:
            self.write(prefix)
            self.write(message)

    def _pack_apart(self, message: bytes) -> None:
        """Compress on a thread; what is said until then waits behind it."""

        def packed(future: asyncio.Future[bytes]) -> None:
            behind, self._outbox = self._outbox, None
            if self.answered or self.closed:
                return
            if future.cancelled() or future.exception() is not None:
                self._put(b"\0", message)
            else:
                self._put(b"\1", future.result())
            while behind:
                data, status, details, trailers = behind.popleft()
                if data is None:
                    self.finish(status, details, trailers)
                else:
                    self.send(data)
                if self._outbox is not None:
                    self._outbox.extend(behind)
                    return

        try:
            work = self.connection.loop.run_in_executor(self.connection.rpc.pool, compress, message, self._accepted)
        except RuntimeError:  # the pool has been shut down: this is one of the last answers
            self._put(b"\0", message)
            return
        self._outbox = deque()
        work.add_done_callback(packed)

    def finish(self, status: int = 0, details: str = "", trailers: Headers | None = None) -> None:
        if self.answered or self.closed:
            return
        if self._outbox is not None:
            self._outbox.append((None, status, details, trailers))
            return
        end = _END
        if status or details or trailers:
            end = [(b"grpc-status", b"%d" % status), *(trailers or ())]
            if details:
                end.append((b"grpc-message", percent_encoded(details)))
        self._forget()
        if self._started:
            self.conclude(end)
        else:
            self.answered = True
            self._close_callbacks = ()
            self.handle.send_response(200, [_TYPE, *end], True)
            self.connection.answered(self)
        if self.connection.front.access_log:
            self.log(200)

    def waiting(self) -> int:
        return super().waiting() + sum(len(message or b"") for message, *_ in self._outbox or ())

    def pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self.connection.pause(self, True)

    def resume_reading(self) -> None:
        if self._paused and not self.closed:
            self._paused = False
            self.connection.pause(self, False)
            self._deliver()
