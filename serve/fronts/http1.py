"""The hot front: HTTP/1.1 on httptools, answering known POST paths without an ASGI scope, task or event.

Design decision 1. Given to uvicorn as `http=`: what is not hot falls through to its HttpToolsProtocol and so to ASGI.
Requests of one connection are answered one at a time and in order, hot and slow alike (see connection).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from ..exchange import Handler, Head
from .connection import CONTINUE, Connection
from .hot import Exchange, Front

_log = logging.getLogger("gantline.http")
_NOT_PLAIN = (b"expect", b"upgrade", b"transfer-encoding")


class Http1(Connection):
    """What a connection reads."""

    def __init__(
        self,
        front: Front,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(front, config, server_state, app_state, _loop)
        self._head_bytes = 0
        self._body_bytes = 0
        self._held = 0  # bytes fed to the parser since it last gave something out: it keeps them
        self._reread = b""  # a head without its Upgrade header, for a parser of its own
        self._before_chunk = -1  # bytes of the body before a chunk whose size has just been read
        self._messages = 0  # begun on this connection
        self._known = b""  # a request's head, byte for byte, that the parser has read on this connection before
        self._known_size = -1  # of that request, with its body
        self._known_head: Head | None = None  # what the parser made of it

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        self.since = self.loop.time()
        if len(data) == self._known_size and data.startswith(self._known) and self._again(data):
            return
        between, before = True, self._messages
        if self.in_head or self.in_body:
            between = False
            self._held += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as e:
            _log.debug("%s: %s", self.client, e)
            self.refuse(400, f"the request is not valid HTTP: {_reason(e)}")
            return
        if between:
            if self._messages == before + 1:
                self._remember(data)
        elif self._held > self.front.max_header_bytes and (self.in_head or self.in_body):
            self._head_too_large()

    def _feed(self, data: bytes) -> None:
        """Parse; a request to change the protocol is answered in this one, as if it had not been asked."""
        while data:
            try:
                self.parser.feed_data(data)
                if self._before_chunk >= 0:
                    self._measure(data)
                return
            except httptools.HttpParserUpgrade as e:
                data = data[e.args[0] :]
            if self._reread:
                # the parser takes what follows for the other protocol: begin again with a head that does not ask
                data, self._reread = self._reread + data, b""
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        self._messages += 1
        self.url = b""
        self.headers = []
        if self.cycle is not None and not self.cycle.keep_alive:
            self.deaf = True  # bytes after a request that closes the connection are not requests
        if self.deaf:
            return
        self.in_head = True
        self._head_bytes = 0
        self._body_bytes = 0
        self._held = 0
        self.begun = self.since

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4  # ": " and the line's end: small headers count, too
        if self.in_head:
            self.headers.append((name.lower(), value))
        elif self._head_bytes > self.front.max_header_bytes and not self.deaf:
            self._head_too_large()  # trailers are counted, and otherwise ignored: they must not pass for headers

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self.deaf:
            return
        self.in_body = True
        self._held = 0
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
        if self.deaf:
            return
        cycle = self.cycle
        self._held = 0
        self._body_bytes += len(body)
        if self._body_bytes > self.front.max_body_bytes:
            self._too_large()
        elif type(cycle) is Exchange:
            cycle.parts.append(body)
        else:
            super().on_body(body)

    def on_chunk_header(self) -> None:
        self._before_chunk = self._body_bytes

    def on_chunk_complete(self) -> None:
        self._before_chunk = -1

    def _measure(self, data: bytes) -> None:
        """Refuse a chunk that goes on beyond `data` and says that it will be too large: the parser tells no sizes.

        A size that came in two pieces seems smaller than it is, and the limit is then felt when the bytes come.
        """
        line = data[: len(data) - (self._body_bytes - self._before_chunk)]  # and what is before it
        self._before_chunk = -1
        if self.deaf or not line.endswith(b"\n"):
            return
        size = line.rstrip(b"\r\n").rpartition(b"\n")[2].partition(b";")[0].strip()
        try:
            large = int(size, 16) > self.front.max_body_bytes
        except ValueError:  # a line of trailers
            return
        if large:
            self._too_large()

    def on_message_complete(self) -> None:
        if self.deaf or self._reread:
            return
        self.in_body = False
        cycle = self.cycle
        if type(cycle) is Exchange:
            cycle.whole = True
            if cycle is self.active:
                cycle.run()
        else:
            super().on_message_complete()
            cycle.more_body = False  # the parent forgets it for a request that was answered before its end

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
        if plain and self._body_bytes == len(data) - end:
            self._known, self._known_size, self._known_head = data[:end], len(data), head
            head.in_turn = True

    def _again(self, data: bytes) -> bool:
        """Answer a request whose head is the known one; False when it is not at a message's start, or has to wait."""
        head = self._known_head
        if self.in_head or self.in_body or self.deaf or self.flow.write_paused or head is None or self.busy():
            return False
        if not self.front.current(head):
            return False  # read and ask again
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
        """Whether the client waits for "100 Continue"; None when the request is not to be answered as it stands."""
        expect = upgrade = False
        hosts = 0
        for name, value in self.headers:
            if name == b"content-length":
                # more digits than any limit has, or more bytes than the limit
                if len(value) > 18 or int(value) > self.front.max_body_bytes:
                    self._too_large()
                    return None
            elif name == b"expect":
                expect = value.lower() == b"100-continue" and self.parser.get_http_version() != "1.0"
            elif name == b"host":
                hosts += 1
            elif name == b"upgrade":
                upgrade = True
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            # RFC 9112, section 3.2: a proxy may have gone by another of them
            self.refuse(400, f"the request has {hosts or 'no'} Host header{'s' if hosts else ''}, expected one")
            return None
        if self._head_bytes + len(self.url) > self.front.max_header_bytes:
            self._head_too_large()
            return None
        if upgrade and self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._reread = self._head_without_upgrade()
            return None
        return expect

    def _head_without_upgrade(self) -> bytes:
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        return line + b"".join(b"%s: %s\r\n" % h for h in self.headers if h[0] != b"upgrade") + b"\r\n"

    def _hot(self, handler: Handler, path: bytes, query: bytes, expect: bool) -> None:
        parser = self.parser
        version = parser.get_http_version()
        head = Head(b"POST", path, query, self.headers, self.client, self.scheme == "https")
        refused = self.front.refused(head)
        if refused is not None:
            self.refuse_with(*refused)
            return
        exchange = Exchange(self, handler, head, version != "1.0" and parser.should_keep_alive(), version)
        waits = self.cycle is not None and not self.cycle.response_complete
        self.cycle = exchange
        if waits:
            exchange.expect = expect
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))  # type: ignore[arg-type]
        else:
            self.active = exchange
            if expect:
                self.transport.write(CONTINUE)

    def _slow(self, expect: bool) -> None:
        self.expect_100_continue = expect
        if self.url[:1] not in b"/*":
            address, mark, query = self.url.partition(b"?")
            if b"/" not in address.partition(b"://")[2]:
                self.url = address + b"/" + mark + query  # http://host: the parent knows no address without a path
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
        # the parent decides by the same words; its test of the last cycle holds for an Exchange too
        waits = self.cycle is not None and not self.cycle.response_complete
        super().on_headers_complete()
        if not waits:
            self.active = self.cycle
        if self.front.draining:
            self.cycle.keep_alive = False

    def _too_large(self) -> None:
        self.refuse(413, f"the body is larger than {self.front.max_body_bytes} bytes")

    def _head_too_large(self) -> None:
        self.refuse(431, f"the request's head is larger than {self.front.max_header_bytes} bytes")


def _reason(error: Exception) -> str:
    # an error in one of our callbacks hides behind httptools' own; its text is for the log
    return "its target or a header cannot be read" if error.__context__ is not None else str(error).lower()
