"""Batcher: which waiting requests run together. Pure bookkeeping: no clock, no I/O, no asyncio.

Greedy (design decision 2): whoever is waiting when the engine is free goes at once, as many rows as fit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from gantline.errors import GantlineError, Unavailable
from gantline.request import Request
from gantline.tensors import Array

from .exchange import Gone, Head

# called once with the outputs, or with the error that kept them from being
Deliver: TypeAlias = Callable[["Ticket", "list[Array] | None", "GantlineError | None"], None]

LOOK_PAST = 64  # requests that do not fit, before the search for others that do is given up


class Ticket:
    """One request's place in the queue, and how to answer it.

    `key` says what it may be stacked with; `context` is the caller's own.
    """

    __slots__ = ("context", "deliver", "head", "key", "outputs", "request", "responder", "rows")

    def __init__(
        self,
        request: Request,
        rows: int,
        key: Hashable,
        outputs: tuple[str, ...],
        head: Head,
        responder: Gone,
        deliver: Deliver,
        context: Any,
    ) -> None:
        self.request = request
        self.rows = rows
        self.key = key
        self.outputs = outputs
        self.head = head
        self.responder: Any = responder  # what `deliver` answers through: its own kind
        self.deliver = deliver
        self.context = context


class Batcher:
    """A bounded queue that gives out batches of compatible requests, in order of arrival.

    `max_rows` 0: requests are never stacked. `max_queue_rows` bounds the rows that wait.
    """

    def __init__(self, max_rows: int, max_queue_rows: int) -> None:
        self.max_rows = max_rows
        self.max_queue_rows = max_queue_rows
        self.waiting_rows = 0
        self._queue: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def __repr__(self) -> str:
        return f"<Batcher {self.waiting_rows}/{self.max_queue_rows} rows wait, max_rows={self.max_rows}>"

    def add(self, ticket: Ticket) -> None:
        """Queue a ticket. Unavailable when the queue is full."""
        # a request larger than the whole queue is taken when nothing else waits: it could never go otherwise
        if self._queue and max(self.waiting_rows + ticket.rows, len(self._queue) + 1) > self.max_queue_rows:
            raise Unavailable(
                f"model '{ticket.request.model}': {self.waiting_rows} rows are waiting already; try again later"
            )
        self.waiting_rows += ticket.rows
        self._queue.append(ticket)

    def take(self) -> list[Ticket]:
        """The next batch, empty when nothing waits.

        Three cases: the first request fills a batch by itself; others behind it fit (same key, rows to spare);
        others do not fit and stay, in order. Nobody starves: the first always goes.
        """
        queue = self._queue
        if not queue:
            return []
        first = queue.popleft()
        self.waiting_rows -= first.rows
        room = self.max_rows - first.rows
        if room <= 0 or not queue:
            return [first]
        batch = [first]
        key = first.key
        passed: list[Ticket] = []
        while queue and room > 0 and len(passed) < LOOK_PAST:
            ticket = queue.popleft()
            if ticket.key == key and ticket.rows <= room:
                batch.append(ticket)
                room -= ticket.rows
                self.waiting_rows -= ticket.rows
            else:
                passed.append(ticket)
        queue.extendleft(reversed(passed))
        return batch
