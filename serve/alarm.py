"""Alarm: one timer of the event loop, for the next deadline of a batcher's tickets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter_ns

from gantline.errors import DeadlineExceeded

from .batcher import Batcher
from .ticket import Ticket


class Alarm:
    """Answers tickets whose time has run out, whatever the engine is doing."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, batcher: Batcher,
        answer: Callable[[Ticket, DeadlineExceeded], None], then: Callable[[], None],
    ) -> None:  # fmt: skip
        """`answer`: what to do with one that is late; `then`: when the timer has seen to all that were due."""
        self._loop = loop
        self._batcher = batcher
        self._answer = answer
        self._then = then
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0

    def __repr__(self) -> str:
        return f"<Alarm {'off' if self._timer is None else self._at}>"

    def watch(self, now: int) -> None:
        """Set the timer, if a deadline comes before the one that it is set for."""
        at = self._batcher.next_deadline
        if at and (self._timer is None or at < self._at):
            if self._timer is not None:
                self._timer.cancel()
            self._at = at
            self._timer = self._loop.call_later(max(at - now, 0) / 1e9, self._ring)

    def expire(self, now: int) -> None:
        """Answer what is due, without waiting for the timer."""
        with self._batcher.lock:
            due = self._batcher.expire(now)
        for ticket in due:
            waited = (now - ticket.request.arrived) / 1e6
            name = ticket.request.model
            self._answer(ticket, DeadlineExceeded(f"model '{name}': the deadline passed after {waited:.1f} ms"))

    def _ring(self) -> None:
        self._timer = None
        now = perf_counter_ns()
        self.expire(now)
        self.watch(now)
        self._then()
