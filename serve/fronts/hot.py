"""Front and Exchange: what all hot connections share, and one request on one of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gantline.errors import Denied, GantlineError, Unavailable
from gantline.settings import ServeSettings

from ..access import SCORE, Access
from ..exchange import Handler, Head, Headers, Standing
from ..statuses import BROKEN, refusal, told

if TYPE_CHECKING:
    from .connection import Connection

_log = logging.getLogger("gantline.http")
_access = logging.getLogger("uvicorn.access")
_JOIN_UP_TO = 64 << 10  # bytes; a larger body is written by itself instead of being copied


class _NoEvent:
    def set(self) -> None:
        """The parent wakes its own cycles this way; an Exchange does not sleep."""


_NO_EVENT = _NoEvent()


class Front:
    """What the connections of one server share: the table of hot paths, the limits, the headers of every answer."""

    def __init__(
        self, settings: ServeSettings, infer: Handler, infer_paths: Mapping[bytes, Any], handlers: dict[bytes, Handler],
        access: Access | None = None, refused: Callable[[GantlineError], None] | None = None,
        faces: Sequence[tuple[Mapping[bytes, Any], Handler]] = (),
    ) -> None:  # fmt: skip
        """`refused` is told of connections that are turned away. `faces`: paths beside V2's, and who answers them."""
        self.infer = infer
        self.infer_paths = infer_paths
        self.handlers = handlers
        self.faces = faces
        self.access = access  # None: there are no keys, and nobody is asked
        self.max_body_bytes = settings.max_body_bytes
        self.max_header_bytes = settings.max_header_bytes
        self.max_connections = settings.max_connections
        self._refused = refused
        self.keep_alive_s = settings.keep_alive_s
        self.header_timeout_s = settings.header_timeout_s
        self.body_timeout_s = settings.body_timeout_s
        self.request_timeout_s = settings.request_timeout_s
        self.access_log = settings.access_log
        self.draining = False
        self._common_for: object = None
        self._common = b""

    def handler(self, path: bytes) -> Handler | None:
        """Who answers a POST to this raw path, or None for the slow road."""
        if path in self.infer_paths:
            return self.infer
        for paths, handler in self.faces:
            if path in paths:
                return handler
        return self.handlers.get(path)

    def refused(self, head: Head) -> tuple[int, Headers, bytes] | None:
        """None for a request to a hot path that may be answered; else what to answer, before its body comes.

        Whoever has no key may not fill our memory.
        """
        if self.access is None:
            return None
        try:
            self.access.admit(head, SCORE)
        except Denied as e:
            return refusal(head.path, e)
        return None

    def full(self, connections: int) -> bool:
        """Whether the last of so many connections is one too many, and is turned away."""
        if not self.max_connections or connections <= self.max_connections:
            return False
        if self._refused is not None:
            self._refused(Unavailable("too many connections; try again later", "connections"))
        return True

    def current(self, head: Head) -> bool:
        """Whether a head that was let in before still is: no, once the keys have changed."""
        return self.access is None or head.keys is self.access.keys

    def standing(self, headers: Standing, common: list[tuple[bytes, bytes]]) -> bytes:
        """The head of a 200 answer with such headers, up to the content length."""
        headers.head = self.head(200, headers, common) + b"content-length: "
        headers.made_for = common
        return headers.head

    def head(self, status: int, headers: Headers, common: list[tuple[bytes, bytes]]) -> bytes:
        """An answer's head, without the empty line at its end. ValueError for a header that would break out of it."""
        if common is not self._common_for:  # uvicorn makes a new list each second, with a new date
            self._common_for = common
            self._common = b"".join(b"%s: %s\r\n" % pair for pair in common)
        lines = b"".join([b"%s: %s\r\n" % h for h in headers])
        if not lines.count(b"\r") == lines.count(b"\n") == len(headers) or b"\0" in lines:
            raise ValueError(f"a header would break the answer's head: {headers}")
        return b"HTTP/1.1 %d %s\r\n%s%s" % (status, _PHRASES.get(status, b""), self._common, lines)

    def last(self, status: int, headers: Headers, body: bytes, common: list[tuple[bytes, bytes]]) -> bytes:
        """The whole last answer on a connection, for what never reached a handler."""
        head = self.head(status, headers, common)
        return b"%sconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (head, len(body), body)


_BODILESS = (204, 304)
_PHRASES = {s.value: s.phrase.encode() for s in HTTPStatus}


class Exchange:
    """One hot request and its answer (a serve.exchange.Responder). Has what uvicorn looks at in a cycle."""

    __slots__ = (
        "_close_callback", "chunked", "disconnected", "expect", "handler", "head", "http_version",
        "keep_alive", "message_event", "parts", "protocol", "response_complete", "response_started", "status", "whole",
    )  # fmt: skip

    def __init__(self, protocol: Connection, handler: Handler, head: Head, keep_alive: bool, http_version: str) -> None:
        self.protocol = protocol
        self.handler = handler
        self.head = head
        self.keep_alive = keep_alive
        self.http_version = http_version
        self.parts: list[bytes] = []
        self.whole = False  # the request's last byte has come
        self.expect = False
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.chunked = False
        self.status = 200
        self.message_event: Any = _NO_EVENT
        self._close_callback: Callable[[], None] | None = None

    def run(self) -> None:
        """Hand the whole request to its handler."""
        parts = self.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self.parts = []
        try:
            self.handler(self.head, body, self)
        except Exception:
            # handlers must not raise; one that does must not leave its client waiting for ever
            _log.exception("%s %s", self.head.method.decode(), self.head.path.decode("latin-1"))
            if self.response_started:
                self.abort()
            else:
                self.send(500, *told(self.head.path, 500, BROKEN))

    def lost(self) -> None:
        """The client has left."""
        self.disconnected = True
        callback, self._close_callback = self._close_callback, None
        if callback is not None and not self.response_complete:
            callback()

    # -- Responder

    @property
    def closed(self) -> bool:
        return self.disconnected

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        if self.response_complete or self.disconnected:
            return
        protocol = self.protocol
        front, transport = protocol.front, protocol.transport
        common = protocol.server_state.default_headers
        # those that wait on this connection were accepted: only the last answer tells the client to go
        keep = self.keep_alive and not (front.draining and not protocol.pipeline)
        if type(headers) is Standing and status == 200 and keep:
            known = headers.head if headers.made_for is common else front.standing(headers, common)
            head = b"%s%d\r\n\r\n" % (known, len(body))
        else:
            self.keep_alive = keep
            close = b"" if keep else b"connection: close\r\n"
            length = b"content-length: %d\r\n" % len(body)
            if status in _BODILESS:
                body, length = b"", b""
            head = b"%s%s%s\r\n" % (front.head(status, headers, common), length, close)
        self.response_complete = True
        if len(body) <= _JOIN_UP_TO:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        self._finish(status, keep)

    def start(self, status: int, headers: Headers) -> None:
        if self.response_complete or self.disconnected:
            return
        front = self.protocol.front
        head = front.head(status, headers, self.protocol.server_state.default_headers)
        self.response_started = True
        self.status = status
        self.chunked = self.http_version != "1.0"
        if not self.chunked or (front.draining and not self.protocol.pipeline):
            self.keep_alive = False
        extra = b"transfer-encoding: chunked\r\n" if self.chunked else b""
        close = b"" if self.keep_alive else b"connection: close\r\n"
        self.protocol.transport.write(b"%s%s%s\r\n" % (head, extra, close))

    def chunk(self, data: bytes) -> None:
        if data and not self.response_complete and not self.disconnected:
            self.protocol.since = self.protocol.loop.time()
            self.protocol.transport.write(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def end(self) -> None:
        if self.response_complete or self.disconnected:
            return
        self.response_complete = True
        if self.chunked:
            self.protocol.transport.write(b"0\r\n\r\n")
        self._finish(self.status, self.keep_alive)

    def abort(self) -> None:
        if not self.response_complete:
            self.response_complete = True
            self.protocol.transport.abort()

    async def drain(self) -> None:
        await self.protocol.flow.drain()

    def on_close(self, callback: Callable[[], None]) -> None:
        if self.disconnected:
            callback()
        elif not self.response_complete:
            self._close_callback = callback

    def _finish(self, status: int, keep: bool) -> None:
        protocol = self.protocol
        if protocol.front.access_log:
            client = ":".join(map(str, self.head.client)) if self.head.client else "-"
            path = self.head.path.decode("latin-1")
            _access.info('%s - "%s %s HTTP/%s" %d', client, "POST", path, self.http_version, status)
        if not keep:
            protocol.hang_up()
        protocol.answered()
