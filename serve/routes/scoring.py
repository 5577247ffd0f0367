"""Scoring: one request on its way through a script and back, whole or streamed, as Azure's server answers it."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING

from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.link import Call
from gantline.accelerators.script.ring import Message

from gantline.errors import GantlineError
from gantline.wire import azure as wire

from ..admission import Hold
from ..exchange import Head, Headers, Responder
from ..statuses import status_of
from ..ticket import Ticket

if TYPE_CHECKING:
    from .azure import Face


class Scoring:
    """One request until its last message: the queue's Caller."""

    __slots__ = ("_exchanged", "_face", "_head", "_hold", "_responder", "_stream", "arrived", "call", "ticket")

    def __init__(
        self, face: Face, head: Head, exchanged: wire.Exchanged, responder: Responder, hold: Hold | None, arrived: int
    ) -> None:
        """`hold`: its body's part of the budget."""
        self._face = face
        self._head = head
        self._exchanged = exchanged
        self._responder = responder
        self._stream: Stream | None = None
        self._hold = hold
        self.arrived = arrived
        self.call: Call
        self.ticket: Ticket

    def heard(self, message: Message) -> None:
        """What the script says to this request."""
        kind = message.kind
        if kind == ch.REPLY or (kind == ch.BROKEN and self._stream is None):
            self._answer(message)
        elif kind == ch.START:
            common = self._face.common(self._head, self._exchanged)
            self._responder.start(message.status, wire.merged(wire.own_headers(message.meta), common))
            self._stream = Stream(self._face, self.call, self._responder)
        elif self._stream is not None:
            if kind == ch.CHUNK:
                self._stream.chunk(message.body)
            else:
                self._stream.end(kind == ch.END)
                self._count("" if kind == ch.END else "engine", 0)

    def left(self) -> None:
        """The client has gone: the script need not go on."""
        self._face.queue.leave(self.ticket)
        if self._stream is not None:
            self._stream.stop()

    def refused(self, error: GantlineError) -> None:
        """There is no room, no process or no time for it. A stream that has begun breaks off."""
        self._face.model.statistics.failed(perf_counter_ns() - self.arrived, error)
        if self._stream is not None:
            self._stream.end(False)
        else:
            self._face.refuse(status_of(error), error.message, self._head, self._exchanged, self._responder, error)

    def over(self) -> None:
        """Its body is kept no longer."""
        if self._hold is not None:
            self._hold.free()

    def _answer(self, message: Message) -> None:
        flags = message.flags
        own = flags & ch.OWN_HEADERS
        if flags & ch.CANCELLED:
            self._face.model.statistics.cancelled += 1
            return
        headers: Headers
        if own:
            headers = wire.own_headers(message.meta)
            body = message.body
        elif flags & ch.RAN:
            headers = [wire.JSON, wire.NOT_FAILED]
            body = message.body
        else:
            headers = [wire.JSON, wire.FAILED if flags & (ch.RUN_FAILED | ch.DIED) else wire.NOT_FAILED]
            body = wire.error_body(self._error(message))
        if flags & ch.RAN:
            headers.append(wire.took_header(message.aux))
        common = self._face.common(self._head, self._exchanged)
        headers = wire.merged(headers, common) if own else headers + common
        self._responder.send(message.status, headers, body)
        self._count(_reason(message), message.aux)

    def _error(self, message: Message) -> str:
        if message.flags & ch.TIMED_OUT:
            return wire.timeout_message(self._face.engine.settings.timeout_ms)
        if message.flags & (ch.RUN_FAILED | ch.DIED):
            return wire.SCRIPT_ERROR
        if message.flags & ch.NOT_MINE:
            return wire.INTERNAL_ERROR
        return message.body.decode("utf-8", "replace")

    def _count(self, failure: str, ran_ns: int) -> None:
        statistics = self._face.model.statistics
        took = perf_counter_ns() - self.arrived
        if failure:
            statistics.failed(took, failure)
        else:
            statistics.succeeded(took)
        if ran_ns:
            statistics.scored(took - ran_ns, ran_ns)


def _reason(message: Message) -> str:
    """Why a script's answer counts as failed, as telemetry.reasons has it; empty when it does not."""
    if message.flags & ch.TIMED_OUT:
        return "deadline"
    return "" if message.status < 400 else "bad_request" if message.status < 500 else "engine"


class Stream:
    """A streamed answer: pieces go to the client as fast as it takes them, and credit goes back to the host."""

    def __init__(self, face: Face, call: Call, responder: Responder) -> None:
        self._face = face
        self._call = call
        self._responder = responder
        self._pieces: deque[bytes] = deque()
        self._over: bool | None = None
        self._task: asyncio.Task[None] | None = None

    def chunk(self, data: bytes) -> None:
        """A piece has come; one task a stream sends what has gathered, and is gone in between."""
        self._pieces.append(data)
        self._go()

    def end(self, good: bool) -> None:
        """The script is done: well, or not, and then the client must see the answer break off."""
        self._over = good
        self._go()

    def stop(self) -> None:
        """The client has left."""
        self._pieces.clear()

    def _go(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        while self._pieces:
            data = self._pieces.popleft()
            self._responder.chunk(data)
            self._call.waiting = True
            await self._responder.drain()
            self._call.waiting = False
            self._face.crew.allow(self._call, len(data))
        if self._over is not None:
            if self._over:
                self._responder.end()
            else:
                self._responder.abort()
