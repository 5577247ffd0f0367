"""Deadlines: which tickets run out of time, and when the next one does. Pure bookkeeping."""

from __future__ import annotations

import heapq

from .ticket import DONE, Ticket

_SLACK = 256  # answered tickets that may stay in the heap before it is rebuilt


class Deadlines:
    """A heap of tickets with a deadline. Those that are answered in time are forgotten in bulk."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Ticket]] = []
        self._count = 0
        self._rebuild_at = _SLACK

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, ticket: Ticket) -> None:
        """Watch a ticket whose request has a deadline."""
        heap = self._heap
        if len(heap) >= self._rebuild_at:
            heap = self._heap = [entry for entry in heap if entry[2].state != DONE]
            heapq.heapify(heap)
            self._rebuild_at = 2 * len(heap) + _SLACK
        self._count += 1
        heapq.heappush(heap, (ticket.request.deadline, self._count, ticket))

    def due(self, now: int) -> list[Ticket]:
        """Those that are not answered and whose time has run out; they are watched no more."""
        out: dict[Ticket, None] = {}  # one may have been added twice
        heap = self._heap
        while heap and (heap[0][2].state == DONE or heap[0][0] <= now):
            ticket = heapq.heappop(heap)[2]
            if ticket.state != DONE:
                out[ticket] = None
        return list(out)

    @property
    def next(self) -> int:
        """When to look again, 0 for never. May be the deadline of one that has been answered meanwhile."""
        return self._heap[0][0] if self._heap else 0
