"""Ticket: one request's place in the queue, and how to answer it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from gantline.errors import GantlineError, Unavailable
from gantline.request import Request
from gantline.tensors import Array

from .exchange import Gone, Head

# called once, on the loop, with the outputs or with the error that kept them from being
Deliver: TypeAlias = Callable[["Ticket", "list[Array] | None", "GantlineError | None"], None]

# HELD: behind another of its sequence, and not in the queue
WAITING, RUNNING, DONE, HELD = 0, 1, 2, 3
# what a ticket is delivered whose client has left: nobody reads it, but its owner may have accounts to close
LEFT = Unavailable("the client has left")


class Ticket:
    """`key` says what it may be stacked with; `context` is the caller's own. Times are in the request.

    `lane` (where it waits) and `start` (rows that have gone into batches already) are the batcher's; `parts` are the
    answers of a request that is larger than a batch, by first row, until as many rows are `joined` as it has.
    """

    __slots__ = (
        "context", "counted", "deliver", "head", "joined", "key", "lane", "outputs", "parts", "request", "responder",
        "rows", "start", "state",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        rows: int,
        key: Hashable,
        outputs: tuple[str, ...],
        head: Head,
        responder: Gone,
        deliver: Deliver | None,
        context: Any,
    ) -> None:
        self.request = request
        self.rows = rows
        self.key = key
        self.outputs = outputs
        self.head = head
        self.responder: Any = responder  # what `deliver` answers through: its own kind
        self.deliver: Deliver | None = deliver  # None: it has been answered, or its context is told otherwise
        self.context = context
        self.state = WAITING
        self.counted = True  # false: another worker runs it, and counts it
        self.lane: Any = None
        self.start = 0
        self.parts: dict[int, list[Array]] | None = None
        self.joined = 0

    def piece(self, start: int, stop: int) -> Ticket:
        """A ticket for some of the rows, to be run in its place; nobody waits for its answer."""
        inputs = {name: array[start:stop] for name, array in self.request.inputs.items()}
        request = Request(inputs, self.request.model, self.request.version)
        return Ticket(request, stop - start, self.key, self.outputs, self.head, self.responder, _nobody, self.context)

    def __repr__(self) -> str:
        state = ("waiting", "running", "done", "held")[self.state]
        return f"<Ticket {self.rows} rows, {self.start} taken, {state}>"


class Batch:
    """Tickets that run together: of the first, rows `start` to `stop`; of the others, all.

    `behind`: rows that it left waiting; `times`: what assembling, computing and splitting took, in ns; `ended`: when.
    """

    __slots__ = ("behind", "ended", "partial", "reason", "rows", "start", "stop", "tickets", "times")

    def __init__(self, tickets: list[Ticket], start: int, stop: int, rows: int, reason: str, behind: int = 0) -> None:
        self.behind = behind
        self.times = (0, 0, 0)
        self.ended = 0
        self.tickets = tickets
        self.start = start
        self.stop = stop
        self.rows = rows
        self.reason = reason
        self.partial = stop - start != tickets[0].rows  # the first ticket is here with some of its rows only

    def __repr__(self) -> str:
        return f"<Batch {[t.rows for t in self.tickets]} [{self.start}:{self.stop}] {self.reason}>"


def _nobody(ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
    """Takes no notice."""
