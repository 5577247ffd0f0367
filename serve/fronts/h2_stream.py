"""Stream: one request on an HTTP/2 connection, and its answer, sent as far as the client has room for it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import zttp

from ..exchange import Handler, Head, Headers
from ..statuses import BROKEN, told

if TYPE_CHECKING:
    from .h2_connection import Http2

_AT_ONCE = 64 << 10  # bytes; zttp moves all that it keeps for later at every step, so more is given to it in pieces
_ENOUGH = 64 << 10  # bytes that wait for the client, before whoever writes a stream has to wait, too
_TURN = 1 << 20  # bytes for one stream in one turn of the loop
_BODILESS = (204, 304)
_HOP_BY_HOP = (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te")
_log = logging.getLogger("gantline.http")
_access = logging.getLogger("uvicorn.access")


class Stream:
    """What requests of all kinds have in common. A kind says what it does with data, their end, and a time-out."""

    __slots__ = (
        "_backlog", "_close_callbacks", "_seen", "_trailers", "answered", "closed", "connection", "handle", "head",
        "id", "since", "whole",
    )  # fmt: skip

    def __init__(self, connection: Http2, id: int, head: Head) -> None:
        self.connection = connection
        self.id = id
        self.head = head
        self.handle: zttp.Stream = connection.conn.stream(id)
        self.since = connection.since  # of the last progress: a piece of the request read, or of the answer taken
        self.whole = False  # the request's end has come
        self.answered = False  # the answer's end has been given
        self.closed = False  # the client has left, or has been cut off
        self._backlog: deque[memoryview] | None = None  # what zttp is not to have yet
        self._trailers: Headers | None = None
        self._seen = 0  # bytes that the client had not taken when last looked at
        self._close_callbacks: tuple[Callable[[], None], ...] = ()

    # -- what a kind of request does

    def take(self, data: bytes) -> None:
        """A piece of the request."""
        raise NotImplementedError

    def complete(self) -> None:
        """The request is whole."""
        raise NotImplementedError

    def late(self, now: float) -> None:
        """Called once a second while the answer is not complete: give up what has taken too long."""
        raise NotImplementedError

    def lost(self) -> None:
        """The client has left."""
        self.closed = True
        self._backlog = None
        callbacks, self._close_callbacks = self._close_callbacks, ()
        if not self.answered:
            for callback in callbacks:
                callback()

    def on_close(self, callback: Callable[[], None]) -> None:
        if self.closed:
            callback()
        elif not self.answered:
            self._close_callbacks = (*self._close_callbacks, callback)

    def cut(self, code: int) -> None:
        """RST_STREAM: the only honest end of an answer that failed on its way."""
        if not self.closed:
            self.handle.reset(code)
            self.lost()
            self.connection.done(self)

    def check(self, now: float) -> None:
        """Called once a second: what the client does not take, and what it does not send."""
        waiting = self.waiting()
        if waiting:
            if waiting != self._seen:
                self._seen, self.since = waiting, now
            elif 0 < self.connection.front.body_timeout_s < now - self.since:
                self.cut(zttp.H2ErrorCode.CANCEL)
        elif not self.answered:
            self.late(now)

    # -- sending

    def waiting(self) -> int:
        """Bytes of the answer that the client has no room for yet."""
        return (self.handle.pending_bytes or 0) + sum(map(len, self._backlog or ()))

    def write(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._backlog is None and len(data) <= _AT_ONCE:
            self.handle.send_data(data)
        else:
            if self._backlog is None:
                self._backlog = deque()
            self._backlog.append(memoryview(data))
            self.pump()
        self.connection.touch()

    def conclude(self, trailers: Headers | None = None) -> None:
        """The end of the answer."""
        self.answered = True
        self._close_callbacks = ()
        if self._backlog is None:
            self.handle.end_message(trailers)
            self.connection.answered(self)
        else:
            self._trailers = trailers

    def pump(self) -> None:
        """Give zttp as much of a large body as it can send."""
        backlog = self._backlog
        if backlog is None:
            return
        conn, handle, left = self.connection.conn, self.handle, _TURN
        while backlog and left > 0 and not self.connection.flow.write_paused:
            room = min(conn.send_window, handle.send_window or 0, left)
            if room <= 0:
                return
            piece = backlog.popleft()
            if len(piece) > room:
                backlog.appendleft(piece[room:])
                piece = piece[:room]
            handle.send_data(piece)
            left -= len(piece)
            self.connection.touch()  # the write that is due may have been made before this turn
        if backlog:
            if not self.connection.flow.write_paused:
                self.connection.again(self)
            return
        self._backlog = None
        self.connection.wake()  # the client may say nothing more: its windows were wide enough for all of it
        if self.answered:
            self.handle.end_message(self._trailers)
            self.connection.answered(self)

    async def drain(self) -> None:
        while not self.closed and (self.connection.flow.write_paused or self.waiting() > _ENOUGH):
            await self.connection.room()

    def log(self, status: int) -> None:
        """A line in the access log."""
        head = self.head
        client = ":".join(map(str, head.client)) if head.client else "-"
        path = head.path.decode("latin-1")
        _access.info('%s - "%s %s HTTP/%s" %d', client, head.method.decode("latin-1"), path, "2", status)


class Plain(Stream):
    """An HTTP request whose body is kept until it is whole (a serve.exchange.Responder)."""

    __slots__ = ("_declared", "_size", "handler", "parts", "response_started")

    def __init__(self, connection: Http2, id: int, head: Head, handler: Handler | None) -> None:
        super().__init__(connection, id, head)
        self.handler = handler
        self.parts: list[bytes] = []
        self.response_started = False
        self._size = 0

    def begin(self, declared: int) -> None:
        """The head has come: refuse a body that is too large before it is sent, or ask for it."""
        if declared > self.connection.front.max_body_bytes:
            self._too_large()
        elif self.head.get(b"expect") == b"100-continue":
            self.handle.send_informational(100)

    def take(self, data: bytes) -> None:
        if self.answered:
            return
        self._size += len(data)
        self.parts.append(data)
        if self._size > self.connection.front.max_body_bytes:
            self._too_large()
        elif len(self.parts) > 1:
            self.connection.keeps(self, self._size)

    def _too_large(self) -> None:
        self.parts = []
        self.refuse(413, f"the body is larger than {self.connection.front.max_body_bytes} bytes")

    def complete(self) -> None:
        if self.answered:
            return
        parts, self.parts = self.parts, []
        if len(parts) > 1:
            self.connection.keeps(self, 0)
        self.run(parts[0] if len(parts) == 1 else b"".join(parts))

    def run(self, body: bytes) -> None:
        """Hand the whole request to its handler."""
        assert self.handler is not None
        try:
            self.handler(self.head, body, self)
        except Exception:
            # handlers must not raise; one that does must not leave its client waiting for ever
            self.broken()

    def broken(self) -> None:
        """A fault of ours, to be logged with the exception at hand."""
        _log.exception("%s %s", self.head.method.decode("latin-1"), self.head.path.decode("latin-1"))
        if self.response_started:
            self.abort()
        else:
            self.refuse(500, BROKEN)

    def refuse(self, status: int, message: str) -> None:
        """An error for what never reached a handler, or came back from none."""
        self.send(status, *told(self.head.path, status, message))

    def late(self, now: float) -> None:
        front = self.connection.front
        if not self.whole:
            if 0 < front.body_timeout_s < now - self.since and self.id not in self.connection.inflow.held:
                self.refuse(408, f"the request's body stopped for {front.body_timeout_s:g} s")
        elif 0 < front.request_timeout_s < now - self.since and not self.response_started:
            callbacks = self._close_callbacks
            self.refuse(504, f"no answer within {front.request_timeout_s:g} s")
            for callback in callbacks:
                callback()

    # -- Responder

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        if self.answered or self.closed:
            return
        bodiless = status in _BODILESS or self.head.method == b"HEAD"
        if status not in _BODILESS and not any(name == b"content-length" for name, _ in headers):
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        self._respond(status, headers, bodiless or not body)
        if bodiless or not body:
            self.answered = True
            self._close_callbacks = ()
            self.connection.answered(self)
        else:
            self.write(body)
            self.conclude()

    def start(self, status: int, headers: Headers) -> None:
        if not (self.answered or self.closed):
            self._respond(status, headers, False)
            self.connection.touch()

    def _respond(self, status: int, headers: Headers, ends: bool) -> None:
        common = self.connection.server_state.default_headers
        kept = [pair for pair in (*common, *headers) if pair[0] not in _HOP_BY_HOP]
        self.handle.send_response(status, kept, ends)
        self.response_started = True
        if self.connection.front.access_log:
            self.log(status)

    def chunk(self, data: bytes) -> None:
        if data and not (self.answered or self.closed):
            self.since = self.connection.loop.time()
            self.write(data)

    def end(self) -> None:
        if not (self.answered or self.closed):
            self.conclude()

    def abort(self) -> None:
        if not self.answered:
            self.cut(zttp.H2ErrorCode.INTERNAL_ERROR)
