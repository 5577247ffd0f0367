"""Grpcio: the gRPC front that every client works with: the methods of serve.rpc behind a grpc.aio server.

It shares the process's event loop. It moves bytes only: messages are read and written by the methods.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio

from gantline.errors import UsageError
from gantline.settings import ServeSettings

from ..certificate import Certificate
from ..exchange import Head, Headers, Standing
from ..rpc.call import Methods, Screen, Streaming, Unary

MAX_MESSAGE = (1 << 31) - 1  # bytes; protobuf knows no larger ones
COMPRESS_FROM = 1024  # bytes; below it compression costs more than it saves
HOLD_S = 0.05  # at the end: for calls that are on their way
UNSENT = 4  # messages of a stream that wait to be written, before who answers must wait
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 1),  # the port is held by a socket of ours, and shared with other workers
    ("grpc.max_send_message_length", -1),
    # clients that keep idle connections alive may: Triton's do, and gRPC's default is to hang up on them
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    # and a peer that is gone without a word is noticed, so that its streams do not stay for ever
    ("grpc.keepalive_time_ms", 120_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
# Calls come one by one: grpc accepts the next after it has handed on the last. A run for each of them costs more than
# all else, since onnxruntime lets go of Python's lock, and grpc's polling thread waits for it. So those that come
# within some turns of the loop begin together; after one that turned out to be alone, the next ones begin at once.
TURNS, ALONE = 24, 64
MAX_HEADS = 256  # of calls, kept because clients send the same metadata again and again
_CODINGS = {
    "none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate,
}  # fmt: skip
_PEER = re.compile(r"ipv[46]:(.+):(\d+)")
_log = logging.getLogger("gantline.grpc")


class Grpcio:
    """One gRPC port of one process. Made on the event loop that it is to use."""

    def __init__(self, methods: Methods, settings: ServeSettings, certificate: Certificate | None = None) -> None:
        self.calls: set[GrpcCall] = set()
        self._held = asyncio.Event()  # not set: answers wait
        self._held.set()
        self._compressed = settings.grpc_compression != "none"
        self._certificate = certificate
        self._secure = certificate is not None
        self._screen = methods.screen
        self._heads: dict[tuple[Any, ...], Head] = {}
        self._gathered: list[tuple[UnaryCall, Unary, bytes]] = []
        self._alone = self._pause = 0  # calls to be begun at once, and the last number of such
        self._loop = asyncio.get_running_loop()
        self._handlers: dict[str, Any] = {}
        for path, method in methods.unary.items():
            self._handlers[path.decode()] = grpc.unary_unary_rpc_method_handler(self._unary(path, method))
        for path, streaming in methods.streaming.items():
            self._handlers[path.decode()] = grpc.stream_stream_rpc_method_handler(self._streaming(path, streaming))
        self._server = grpc.aio.server(
            options=(*OPTIONS, ("grpc.max_receive_message_length", min(settings.max_body_bytes, MAX_MESSAGE))),
            maximum_concurrent_rpcs=settings.max_grpc_calls or None,
            compression=_CODINGS[settings.grpc_compression],
        )
        self._server.add_generic_rpc_handlers((self,))

    def service(self, details: Any) -> Any:
        """grpc's question: who answers a method. None: UNIMPLEMENTED. No message has been taken in yet."""
        handler = self._handlers.get(details.method)
        if self._screen is None or handler is None:
            return handler
        path = details.method.encode()
        if self._screen(self._head(path, details.invocation_metadata, ""), False) is None:
            return handler
        return grpc.stream_stream_rpc_method_handler(self._refusing(path, self._screen))

    def _refusing(self, path: bytes, screen: Screen) -> Callable[[Any, Any], Any]:
        async def handle(_: Any, context: Any) -> None:
            refused = screen(self._head(path, context.invocation_metadata(), context.peer()), True)
            code, details = refused or (14, "the keys have just changed; try again")
            context.set_code(_STATUS[code])
            context.set_details(details)

        return handle

    async def start(self, settings: ServeSettings, port: int) -> None:
        """Listen. UsageError says why the port cannot be had."""
        host = settings.host.strip("[]")
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._certificate is not None:
                bound = self._server.add_secure_port(address, self._certificate.credentials())
            else:
                bound = self._server.add_insecure_port(address)
        except (RuntimeError, OSError) as e:
            raise UsageError(f"cannot serve gRPC on {address}: {e}; choose another --grpc-port, or --no-grpc") from e
        assert bound == port, (bound, port)
        await self._server.start()

    async def stop(self, seconds: float) -> int:
        """Take no more calls (GOAWAY), wait for those under way, then cancel them; how many that were.

        grpc ends calls that it reads after its GOAWAY: those that clients had sent before they read that. So answers
        are held back until it is out: who waits for an answer sends nothing new, and reads the GOAWAY before it.
        """
        if seconds > 0:
            self._held.clear()
            await asyncio.sleep(HOLD_S)
        stopping = asyncio.ensure_future(self._server.stop(None if seconds <= 0 else seconds + 1))
        await asyncio.sleep(HOLD_S if seconds > 0 else 0)
        self._held.set()
        await asyncio.wait((stopping,), timeout=max(seconds, 0))
        left = len(self.calls)
        if not stopping.done():
            await self._server.stop(None)
        await stopping
        return left

    def _unary(self, path: bytes, method: Unary) -> Callable[[bytes, Any], Any]:
        async def handle(data: bytes, context: Any) -> bytes:
            call = UnaryCall(context, self._head(path, context.invocation_metadata(), context.peer()))
            self.calls.add(call)
            try:
                self._gather(call, method, data)
                answer = call.answer if call.ended else await call.wait()
                if not self._held.is_set():
                    await self._held.wait()
            except asyncio.CancelledError:
                call.lost()
                raise
            finally:
                self.calls.discard(call)
            if self._compressed and len(answer) < COMPRESS_FROM:
                context.disable_next_message_compression()
            return answer

        return handle

    def _gather(self, call: UnaryCall, method: Unary, data: bytes) -> None:
        """Begin a call, alone or together with those that come within the next turns of the loop."""
        if self._alone > 0:
            self._alone -= 1
            call.begin(method, data)
            return
        self._gathered.append((call, method, data))
        if len(self._gathered) == 1:
            self._loop.call_soon(self._turn, TURNS)

    def _turn(self, turns: int) -> None:
        if turns:
            self._loop.call_soon(self._turn, turns - 1)
            return
        gathered, self._gathered = self._gathered, []
        # a client that has the server to itself waits for nobody, but now and then
        self._pause = min(2 * self._pause + 1, ALONE) if len(gathered) == 1 else 0
        self._alone = self._pause
        for call, method, data in gathered:
            call.begin(method, data)

    def _head(self, path: bytes, metadata: Any, peer: str) -> Head:
        key = (path, peer, metadata)
        head = self._heads.get(key)
        if head is None:
            headers: Headers = [
                (k.encode(), v if isinstance(v, bytes) else v.encode("latin-1", "replace")) for k, v in metadata
            ]
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            head = self._heads[key] = Head(b"POST", path, b"", headers, _client(peer), self._secure)
        return head

    def _streaming(self, path: bytes, method: Streaming) -> Callable[[Any, Any], Any]:
        async def handle(_: Any, context: Any) -> None:
            call = StreamCall(context, self._head(path, context.invocation_metadata(), context.peer()))
            self.calls.add(call)
            reading = asyncio.ensure_future(call.read(method(call)))
            try:
                while (message := await call.next()) is not None:
                    if self._compressed and len(message) < COMPRESS_FROM:
                        context.disable_next_message_compression()
                    await context.write(message)
                if not self._held.is_set():  # who is refused here would come again, on the same connection
                    await self._held.wait()
            except asyncio.CancelledError:
                call.lost()
                raise
            finally:
                reading.cancel()
                self.calls.discard(call)

        return handle


class GrpcCall:
    """What the two kinds of calls have in common (most of a serve.rpc.call.Call)."""

    __slots__ = ("_callbacks", "_context", "closed", "deadline", "ended", "head")

    def __init__(self, context: Any, head: Head) -> None:
        self._context = context
        self.head = head
        left = context.time_remaining()
        self.deadline = 0 if left is None else perf_counter_ns() + int(left * 1e9)
        self.closed = False
        self.ended = False
        self._callbacks: list[Callable[[], None]] = []

    def lost(self) -> None:
        """The client has left."""
        self.closed = True
        callbacks, self._callbacks = self._callbacks, []
        if not self.ended:
            for callback in callbacks:
                callback()

    def on_close(self, callback: Callable[[], None]) -> None:
        if self.closed:
            callback()
        else:
            self._callbacks.append(callback)

    def broken(self) -> None:
        """A fault of ours, to be logged with the exception at hand."""
        _log.exception("%s", self.head.path.decode("latin-1"))
        self.finish(13, "internal error; see the server's log")

    def finish(self, status: int = 0, details: str = "", trailers: Headers | None = None) -> None:
        """End the call, once."""
        raise NotImplementedError

    def _end(self, status: int, details: str, trailers: Headers | None) -> None:
        self.ended = True
        if status:
            self._context.set_code(_STATUS[status])
            self._context.set_details(details)
        if trailers:
            known = trailers.pairs if isinstance(trailers, Standing) else _pairs(trailers)
            self._context.set_trailing_metadata(known)


class UnaryCall(GrpcCall):
    """A call of one message each way."""

    __slots__ = ("_waiter", "answer")

    def __init__(self, context: Any, head: Head) -> None:
        super().__init__(context, head)
        self.answer = b""
        self._waiter: asyncio.Future[None] | None = None

    def begin(self, method: Unary, data: bytes) -> None:
        """Give the client's message to the method, unless the client has left."""
        if self.closed:
            return
        try:
            method(self, data)
        except Exception:  # methods must not raise; one that does must not leave its client waiting for ever
            self.broken()

    async def wait(self) -> bytes:
        """The answer, once the call has ended."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter
        return self.answer

    def send(self, message: bytes) -> None:
        self.answer = message

    def finish(self, status: int = 0, details: str = "", trailers: Headers | None = None) -> None:
        if self.ended or self.closed:
            return
        self._end(status, details, trailers)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def pause_reading(self) -> None:
        """There is nothing more to read."""

    def resume_reading(self) -> None:
        """There is nothing more to read."""

    async def drain(self) -> None:
        """The one answer is written when the call ends."""


class StreamCall(GrpcCall):
    """A call of many messages. Two tasks run it: one reads (`read`), one writes what `next` gives."""

    __slots__ = ("_changed", "_reading", "_taken", "_unsent")

    def __init__(self, context: Any, head: Head) -> None:
        super().__init__(context, head)
        self._unsent: deque[bytes] = deque()
        self._changed = asyncio.Event()  # something to write, or the end
        self._taken = asyncio.Event()  # a message was written, or nobody reads any more
        self._reading = asyncio.Event()
        self._reading.set()

    async def read(self, receiver: Any) -> None:
        """Give the client's messages to the method."""
        try:
            while (message := await self._context.read()) is not grpc.aio.EOF:
                await self._reading.wait()
                receiver.message(message)
            receiver.half_close()
        except Exception:  # as above
            self.broken()

    async def next(self) -> bytes | None:
        """The next message to write; None at the end."""
        while not self._unsent:
            if self.ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._unsent.popleft()
        self._taken.set()
        return message

    def lost(self) -> None:
        super().lost()
        self._taken.set()

    def send(self, message: bytes) -> None:
        if not self.closed and not self.ended:
            self._unsent.append(message)
            self._changed.set()

    def finish(self, status: int = 0, details: str = "", trailers: Headers | None = None) -> None:
        if not self.ended and not self.closed:
            self._end(status, details, trailers)
            self._changed.set()

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    async def drain(self) -> None:
        while len(self._unsent) >= UNSENT and not self.closed:
            self._taken.clear()
            await self._taken.wait()


def _pairs(headers: Headers) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode(), value.decode("latin-1")) for name, value in headers)


def _client(peer: str) -> tuple[str, int] | None:
    found = _PEER.match(peer)
    return (unquote(found[1]).strip("[]"), int(found[2])) if found else None


_STATUS: dict[int, Any] = {code.value[0]: code for code in grpc.StatusCode}
