"""Connection: one request answered after another, in order, and how a connection ends. Reading is http1's.

A connection that cannot go on (damage, a limit, a client that has closed its side) first answers what it has read
whole. A subclass of uvicorn's HttpToolsProtocol: tests/serve/fronts/test_connection_contract.py holds the contract
that we keep with it, which is why uvicorn is pinned.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ..exchange import Headers
from ..statuses import told
from .hot import Exchange, Front
from .unchunked import unchunked

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LINGER_S = 2.0  # after a last answer: how long what the client still sends is read and thrown away
IDLE_GRACE_S = 0.25  # at the end: an idle connection's chance that its next request is on its way


class Connection(HttpToolsProtocol):
    """The life of one connection: made, answering, refusing, shut down, lost."""

    url = b""  # of the request being read; the parent sets it

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
        self.cycle: Any = None  # the last request read: an Exchange, or the parent's cycle
        self.active: Any = None  # the request being answered, of either kind
        self.in_head = False
        self.in_body = False
        self.since = self.loop.time()  # of the last progress: bytes read or taken, or an answer finished
        self.begun = self.since  # of the request being read
        self.deaf = False  # nothing more is read as a request
        self._unsent = 0  # bytes that the client had not taken when last looked at
        self._advancing = False
        self._ending: bytes | None = None  # the last answer, for when what is in flight has been answered
        self._ended = False  # the last answer has been given

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.front.full(len(self.connections)):
            self.refuse(503, "too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.active is not None:
            _leave(self.active)
        self.pipeline.clear()
        self.cycle = self.active = None  # they refer to us: freed now, not by the collector

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that has closed its sending side still gets the answers that are on their way."""
        if self._ended or self.scheme == "https":
            return None  # TLS cannot be half closed
        self._end(b"")
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self.flow.pause_reading()  # whoever does not read answers may not ask on

    def resume_writing(self) -> None:
        super().resume_writing()
        self._advance()

    def shutdown(self) -> None:
        """Called when the server stops listening: idle connections close soon, busy ones after their last answer.

        An answer that has begun to stream did not say that it is the last: the client may send its next request.
        """
        cycle = self.cycle
        if cycle is not None and not (cycle.response_complete or cycle.response_started):
            cycle.keep_alive = False
        self.loop.call_later(IDLE_GRACE_S, self._close_idle)

    def _close_idle(self) -> None:
        if self.busy() or self.pipeline or self.in_head or self.loop.time() - self.since < IDLE_GRACE_S:
            if not self.transport.is_closing():
                self.loop.call_later(IDLE_GRACE_S, self._close_idle)
        else:
            self.transport.close()

    def check(self, now: float) -> None:
        """Called once a second: closes what has been idle, or slow, beyond its limit."""
        front, idle = self.front, now - self.since
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if unsent != self._unsent:
                self._unsent, self.since = unsent, now
            elif front.body_timeout_s and idle > front.body_timeout_s:
                self.transport.abort()  # close() would wait for the client to read
        elif self._ended:
            if idle > LINGER_S:
                self.transport.abort()
        elif self.busy() and _whole(self.active):
            if front.request_timeout_s and idle > front.request_timeout_s:
                self._give_up(504, f"no answer within {front.request_timeout_s:g} s")
        elif self.in_head:
            if front.header_timeout_s and now - self.begun > front.header_timeout_s:
                self.refuse(408, f"the request's head did not arrive within {front.header_timeout_s:g} s")
        elif self.in_body:
            if front.body_timeout_s and idle > front.body_timeout_s and not self.flow.read_paused:
                self.refuse(408, f"the request's body stopped for {front.body_timeout_s:g} s")
        elif idle > front.keep_alive_s and not self.busy():
            self.transport.close()

    # -- one request after another

    def on_response_complete(self) -> None:
        """The parent's cycle has been answered."""
        self.answered()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if cycle.scope["http_version"] in ("1.0", "0.9"):
            app = unchunked(cycle, app)
        super()._start_asgi_task(cycle, app)

    def answered(self) -> None:
        """The active request has been answered: go on with the next."""
        self.server_state.total_requests += 1
        self.since = self.loop.time()
        if self.pipeline or self._ending is not None or self.flow.read_paused:
            self._advance()

    def _advance(self) -> None:
        # a loop and not recursion: a chunk can hold thousands of pipelined requests that are answered at once
        if self._advancing or self._ended or self.transport.is_closing():
            return
        self._advancing = True
        try:
            while self.pipeline and not self.busy() and not self.flow.write_paused:
                waiting: Any = self.pipeline.pop()
                cycle, app = waiting
                self.active = cycle
                if type(cycle) is Exchange:
                    if cycle.whole:
                        cycle.run()
                    elif cycle.expect:
                        self.transport.write(CONTINUE)
                else:
                    self._start_asgi_task(cycle, app)
                if self.transport.is_closing():
                    self.pipeline.clear()
                    return
        finally:
            self._advancing = False
        if self.pipeline or self.flow.write_paused:
            return
        if self._ending is None:
            self.flow.resume_reading()
        elif not self.busy():
            self._last_answer()

    def busy(self) -> bool:
        """Whether a request is being answered, or being read to be answered next."""
        return self.active is not None and not self.active.response_complete

    # -- ends

    def hang_up(self) -> None:
        """Close after an answer that says so. What the client may still be sending must not reset the connection."""
        if self.flow.read_paused:
            self.deaf, self._ending = True, b""
            self.pipeline.clear()
            self._last_answer(linger=True)
        else:
            self.transport.close()

    def refuse(self, status: int, message: str) -> None:
        """Answer an error to the request being read, in its face's words, after those before it, and close."""
        self.refuse_with(status, *told(self.url.partition(b"?")[0], status, message))

    def refuse_with(self, status: int, headers: Headers, body: bytes) -> None:
        """The same with an answer that is written already."""
        self._end(self.front.last(status, headers, body, self.server_state.default_headers))

    def _end(self, answer: bytes) -> None:
        """Read no more; answer what has been read whole, then `answer` (if any) for what has not, and close."""
        self.deaf = True
        self.in_head = self.in_body = False
        if self._ending is None:
            self._ending = answer
            cycle = self.cycle
            if cycle is not None and not _whole(cycle):
                if self.pipeline and self.pipeline[0][0] is cycle:
                    self.pipeline.popleft()
                else:
                    self._forget(cycle)
        if self.pipeline or self.busy():
            self.flow.pause_reading()
        else:
            self._last_answer()

    def _forget(self, cycle: Any) -> None:
        """Give up a request that is being read, or answered; without an answer if it has got one, or a part of one."""
        if cycle.response_started or cycle.response_complete:
            self._ending = b""
        _leave(cycle)
        cycle.response_complete = True

    def _give_up(self, status: int, message: str) -> None:
        """Answer an error in place of the active request, and go on with those behind it; without any, close.

        When it was being answered already, only closing can tell the client.
        """
        cycle, common = self.active, self.server_state.default_headers
        headers, body = told(_path(cycle), status, message)
        if self.pipeline and not cycle.response_started:
            _leave(cycle)
            cycle.response_complete = True
            head = self.front.head(status, headers, common)
            self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
            self.answered()
            return
        self.pipeline.clear()
        self.deaf = True
        self.in_head = self.in_body = False
        self._ending = self.front.last(status, headers, body, common)
        self._forget(cycle)
        self._last_answer()

    def _last_answer(self, linger: bool = False) -> None:
        self._ended = True
        self.since = self.loop.time()
        if not self._ending and not linger:
            self.transport.close()
            return
        if self._ending:
            self.transport.write(self._ending)
        # an immediate close would reset the connection, and the answer be lost, if the client is still sending
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()


def _whole(cycle: Any) -> bool:
    """Whether a request's last byte has come."""
    return bool(cycle.whole if type(cycle) is Exchange else not cycle.more_body)


def _leave(cycle: Any) -> None:
    """Tell a request of either kind that nobody waits for its answer any more."""
    if type(cycle) is Exchange:
        cycle.lost()
    else:
        cycle.disconnected = True
        cycle.message_event.set()


def _path(cycle: Any) -> bytes:
    """The raw path of a request of either kind."""
    return bytes(cycle.head.path if type(cycle) is Exchange else cycle.scope["raw_path"])
