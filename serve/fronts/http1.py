"""The hot front: HTTP/1.1 on httptools, answering known POST paths without an ASGI scope, task or event.

Design decision 1. A subclass of uvicorn's HttpToolsProtocol (given to uvicorn as `http=`): what is not hot falls
through to the parent and so to ASGI. Requests of one connection are answered one at a time and in order, hot and
slow alike: the parent's pipeline holds those that wait. tests/serve/fronts/test_http1.py holds the contract that
we keep with the parent, which is why uvicorn is pinned.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from ..exchange import Handler, Head
from .hot import Exchange, Front

_log = logging.getLogger("gantline.http")
_NOT_PLAIN = (b"expect", b"upgrade", b"transfer-encoding")
LINGER_S = 2.0  # after a refusal: how long what the client still sends is read and thrown away


class Http1(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        front: Front,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.front = front
        self.access_log = self.access_log and front.access_log
        self.cycle: Any = None  # type: ignore[assignment]  # the last request read: an Exchange, or the parent's cycle
        self.active: Any = None  # the request being answered, of either kind
        self.in_head = False
        self.in_body = False
        self.head_bytes = 0
        self.body_bytes = 0
        self.since = self.loop.time()  # of the last progress: bytes read, or an answer finished
        self._advancing = False
        self._broken = b""  # why the connection ends once what is in flight has been answered
        self._discarding = False
        self._ignoring = False
        self._half_closed = False
        self._messages = 0  # begun on this connection
        self._known = b""  # a request's head, byte for byte, that the parser has read on this connection before
        self._known_size = -1  # of that request, with its body
        self._known_head: Head | None = None  # what the parser made of it

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit = self.front.max_connections
        if limit and len(self.connections) > limit:
            self._refuse(503, "too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if type(self.active) is Exchange:
            self.active.lost()
        elif self.active is not None:
            self.active.disconnected = True
            self.active.message_event.set()
        self.pipeline.clear()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that has closed its sending side still gets the answers that are on their way."""
        if self._discarding or self.scheme == "https":
            return None  # TLS cannot be half closed
        if self.in_head or self.in_body or not self._busy():
            return None
        self._half_closed = True
        return True

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        self.since = self.loop.time()
        if len(data) == self._known_size and data.startswith(self._known) and self._again(data):
            return
        head_went_on, between, before = self.in_head, not (self.in_head or self.in_body), self._messages
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            return
        except httptools.HttpParserError:
            self._break(b"Invalid HTTP request received.")
            return
        if between and self._messages == before + 1:
            self._remember(data)
        if head_went_on and self.in_head:
            # the parser keeps a header without an end to itself: count what it was fed
            self.head_bytes += len(data)
            if self.head_bytes > self.front.max_header_bytes:
                self._refuse(431, f"the request's head is larger than {self.front.max_header_bytes} bytes")

    def pause_writing(self) -> None:
        super().pause_writing()
        self.flow.pause_reading()  # whoever does not read answers may not ask on

    def resume_writing(self) -> None:
        super().resume_writing()
        self._advance()

    def shutdown(self) -> None:
        """Called when the server stops listening: idle connections close, busy ones after their answer."""
        if not self._busy() and not self.in_head:
            self.transport.close()
        elif self.active is not None:
            self.active.keep_alive = False

    def check(self, now: float) -> None:
        """Called once a second: closes what has been idle, or slow, beyond its limit."""
        front, idle = self.front, now - self.since
        if self._discarding:
            if idle > LINGER_S:
                self.transport.abort()
        elif self._busy() and not self.in_body:
            if front.request_timeout_s and idle > front.request_timeout_s:
                self._refuse(504, f"no answer within {front.request_timeout_s:g} s")
        elif self.in_head:
            if front.header_timeout_s and idle > front.header_timeout_s:
                self._refuse(408, f"the request's head did not arrive within {front.header_timeout_s:g} s")
        elif self.in_body:
            if front.body_timeout_s and idle > front.body_timeout_s:
                self._refuse(408, f"the request's body stopped for {front.body_timeout_s:g} s")
        elif idle > front.keep_alive_s:
            self.transport.close()

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        # bytes after a request that closes the connection are not requests
        self._ignoring = self._discarding or (self.cycle is not None and not self.cycle.keep_alive)
        self._messages += 1
        self.url = b""
        self.headers = []
        self.in_head = True
        self.head_bytes = 0
        self.body_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))
        self.head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self._ignoring:
            return
        self.in_body = True
        expect = self._look_at_headers()
        if expect is None:
            return
        path, _, query = self.url.partition(b"?")
        handler = self.front.handler(path) if self.parser.get_method() == b"POST" else None
        if handler is None:
            self._slow(expect)
        else:
            self._hot(handler, path, query, expect)

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if self._ignoring or self._discarding or cycle is None or cycle.response_complete:
            return
        self.body_bytes += len(body)
        if self.body_bytes > self.front.max_body_bytes:
            self._too_large()
        elif type(cycle) is Exchange:
            cycle.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._ignoring or self._discarding:
            return
        self.in_body = False
        cycle = self.cycle
        if type(cycle) is Exchange:
            cycle.whole = True
            if cycle is self.active:
                cycle.run()
        elif cycle is not None:
            super().on_message_complete()

    # -- a head seen before
    # A client that sends one request after another on a connection sends the same head. The parser is deterministic:
    # at the start of a message, the same bytes mean the same, so they need not be read again.

    def _remember(self, data: bytes) -> None:
        """Keep the head of a hot request that has come whole, and alone, in one piece."""
        exchange = self.cycle
        if type(exchange) is not Exchange or not exchange.whole or not exchange.keep_alive or self.in_body:
            return
        head, end = exchange.head, data.find(b"\r\n\r\n") + 4
        plain = exchange.http_version == "1.1" and not any(map(head.get, _NOT_PLAIN)) and head.get(b"content-length")
        if plain and self.body_bytes == len(data) - end:
            self._known, self._known_size, self._known_head = data[:end], len(data), head

    def _again(self, data: bytes) -> bool:
        """Answer a request whose head is the known one; False when it is not at a message's start, or has to wait."""
        head = self._known_head
        if self.in_head or self.in_body or self._ignoring or self.flow.write_paused or head is None or self._busy():
            return False
        handler = self.front.handler(head.path)
        if handler is None or not (self.cycle is None or self.cycle.keep_alive):
            return False
        exchange = Exchange(self, handler, head, True, "1.1")
        exchange.parts.append(data[len(self._known) :])
        exchange.whole = True
        self.cycle = self.active = exchange
        exchange.run()
        return True

    # -- one request after another

    def _look_at_headers(self) -> bool | None:
        """Whether the client waits for "100 Continue"; None when the request was refused for its head."""
        expect = False
        for name, value in self.headers:
            if name == b"content-length":
                # more digits than any limit has, or more bytes than the limit
                if len(value) > 18 or int(value) > self.front.max_body_bytes:
                    self._too_large()
                    return None
            elif name == b"expect" and value.lower() == b"100-continue":
                expect = True
        if self.head_bytes > self.front.max_header_bytes:
            self._refuse(431, f"the request's head is larger than {self.front.max_header_bytes} bytes")
            return None
        return expect

    def _hot(self, handler: Handler, path: bytes, query: bytes, expect: bool) -> None:
        parser = self.parser
        version = parser.get_http_version()
        head = Head(b"POST", path, query, self.headers, self.client, self.scheme == "https")
        exchange = Exchange(self, handler, head, version != "1.0" and parser.should_keep_alive(), version)
        waits = self._busy()
        self.cycle = exchange
        if waits:
            exchange.expect = expect
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))  # type: ignore[arg-type]
        else:
            self.active = exchange
            if expect:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _slow(self, expect: bool) -> None:
        self.expect_100_continue = expect
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]  # set when the connection was made
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        waits = self._busy()
        # the parent decides by its last cycle whether this one waits; ours may be an Exchange
        super().on_headers_complete()
        if not waits:
            self.active = self.cycle

    def on_response_complete(self) -> None:
        """The parent's cycle has been answered."""
        self.answered()

    def answered(self) -> None:
        """The active request has been answered: go on with the next."""
        self.server_state.total_requests += 1
        self.since = self.loop.time()
        if self.pipeline or self._broken or self._half_closed or self.flow.read_paused:
            self._advance()

    def _advance(self) -> None:
        # a loop and not recursion: a chunk can hold thousands of pipelined requests that are answered at once
        if self._advancing or self.transport.is_closing() or self._discarding:
            return
        self._advancing = True
        try:
            while self.pipeline and not self._busy() and not self.flow.write_paused:
                cycle, app = self.pipeline.pop()
                self.active = cycle
                if type(cycle) is Exchange:
                    if cycle.expect and not cycle.whole:
                        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    if cycle.whole:
                        cycle.run()
                else:
                    self._start_asgi_task(cycle, app)
                if self.transport.is_closing():
                    self.pipeline.clear()
                    return
        finally:
            self._advancing = False
        if not self.pipeline and not self.flow.write_paused:
            self.flow.resume_reading()
        if not self.pipeline and not self._busy():
            if self._broken:
                self.send_400_response(self._broken.decode())
            elif self._half_closed:
                self.transport.close()

    def _busy(self) -> bool:
        return self.active is not None and not self.active.response_complete

    # -- refusals

    def _break(self, why: bytes) -> None:
        _log.debug("%s: %s", self.client, why)
        self.in_head = self.in_body = False
        if self._busy() and type(self.active) is Exchange and self.active.whole:
            self._broken = why  # those who asked before the damage are answered first
            self.flow.pause_reading()
        else:
            self.send_400_response(why.decode())

    def _too_large(self) -> None:
        self._refuse(413, f"the body is larger than {self.front.max_body_bytes} bytes")

    def _refuse(self, status: int, message: str) -> None:
        """Answer an error in place of what is under way, then close without cutting the answer off."""
        self.pipeline.clear()
        started = False
        for cycle in (self.active, self.cycle):
            if cycle is not None and not cycle.response_complete:
                started = started or getattr(cycle, "response_started", False)
                cycle.disconnected = cycle.response_complete = True
                cycle.message_event.set()
        self._discarding = True
        self.in_head = self.in_body = False
        if started:
            self.transport.close()
            return
        body = self.front.error_body(message)
        self.transport.write(
            b"%scontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
            % (STATUS_LINE[status], len(body), body)
        )
        self.since = self.loop.time()
        self.flow.resume_reading()
        # an immediate close would reset the connection, and the answer be lost, if the client is still sending
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
