"""Sequences: requests that belong together run in order, and the model's state goes from one to the next.

The state never leaves the server (Triton's implicit state): it is an extra output of one run and an extra input of
the next. Different sequences share batches as other requests do.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

import numpy as np
from gantline.accelerators.stateful import SequencePolicy

from gantline.errors import BadRequest, GantlineError, Overloaded
from gantline.tensors import Array

from .affinity import Affinity
from .ticket import DONE, HELD, WAITING, Ticket

MAX_WAITING = 1024  # requests of one sequence


class _Open:
    """A sequence that has begun and not ended."""

    __slots__ = ("ending", "last", "state", "waiting")

    def __init__(self, state: dict[str, Array]) -> None:
        self.state = state
        self.waiting: deque[Ticket] = deque()  # the first one is with the batcher
        self.last = 0
        self.ending = False  # its last request has come: what follows begins a new one, or is none of it


class Sequences:
    """The open sequences of one model version. `submit` queues a ticket with the model's dispatch."""

    def __init__(
        self, policy: SequencePolicy, submit: Callable[[Ticket], None], hold: Callable[[Ticket], None],
        affinity: Affinity | None = None,
    ) -> None:  # fmt: skip
        """`hold`: keeps the deadline of a ticket that is not submitted yet.

        `affinity`: which of several workers has a sequence; None: this one has all.
        """
        self.policy = policy
        self._affinity = affinity or Affinity()
        self._submit = submit
        self._hold = hold
        self._open: OrderedDict[int | str, _Open] = OrderedDict()  # the longest idle first

    def __len__(self) -> int:
        return len(self._open)

    def open(self, now: int) -> int:
        """How many have begun and not ended, nor been idle for too long."""
        self._close_idle(now)
        return len(self._open)

    def enter(self, ticket: Ticket) -> None:
        """Queue a request in its sequence. BadRequest without a sequence, or when its first request is missing;
        Unavailable when there are too many."""
        request, now = ticket.request, ticket.request.queued
        name, key = request.model, request.sequence
        if not key:
            raise BadRequest(f"model '{name}' keeps sequences: give parameter 'sequence_id', other than 0")
        if ticket.rows != 1:
            raise BadRequest(f"model '{name}' keeps sequences: a request has one row, this one {ticket.rows}")
        if other := self._affinity.elsewhere(key):
            self._affinity.forward(ticket, other)
            return
        self._close_idle(now)
        one = self._open.get(key)
        if request.sequence_start and not (one and one.waiting):
            if one is None and len(self._open) >= self._affinity.share(self.policy.max_sequences):
                raise Overloaded(f"model '{name}': {len(self._open)} sequences are open; try again later")
            one = self._open[key] = _Open(self.policy.initial)
        elif one is None or (one.ending and not request.sequence_start):
            raise BadRequest(
                f"model '{name}': sequence {key!r:.80} is not open; its first request has 'sequence_start', and no "
                f"more than {self.policy.idle_ns / 1e9:g} s may pass between two"
            )
        if len(one.waiting) >= MAX_WAITING:
            raise Overloaded(f"model '{name}': {MAX_WAITING} requests of sequence {key!r:.80} wait; try again later")
        one.waiting.append(ticket)
        one.last, one.ending = now, request.sequence_end
        self._open.move_to_end(key)
        if len(one.waiting) > 1:
            ticket.state = HELD
            self._hold(ticket)
        else:
            try:
                self._go(one)
            except GantlineError:
                one.waiting.clear()
                if request.sequence_start:
                    del self._open[key]
                raise

    def _go(self, one: _Open) -> None:
        """Hand the first request of a sequence to the batcher, with its state and controls."""
        ticket = one.waiting[0]
        request, deliver = ticket.request, ticket.deliver
        shown = len(ticket.outputs)
        if request.sequence_start:  # within a sequence that is still at work, too
            one.state = self.policy.initial
        request.inputs = {**request.inputs, **one.state, **self.policy.told(request)}
        ticket.outputs = ticket.outputs + tuple(s.output for s in self.policy.states)

        def delivered(ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
            ticket.outputs = ticket.outputs[:shown]
            if outputs is not None:
                found = zip(self.policy.states, outputs[shown:], strict=True)
                # a copy: a row of a batch would keep the whole batch in memory
                one.state = {s.input: np.array(a) for s, a in found}
                outputs = outputs[:shown]
            self._after(one, ticket)
            if deliver is not None:
                deliver(ticket, outputs, error)

        ticket.deliver, ticket.state = delivered, WAITING
        self._submit(ticket)

    def _after(self, one: _Open, ticket: Ticket) -> None:
        request = ticket.request
        if one.waiting and one.waiting[0] is ticket:
            one.waiting.popleft()
        while one.waiting:
            following = one.waiting[0]
            if following.state == DONE:  # its deadline has passed while it waited here
                one.waiting.popleft()
                continue
            try:
                self._go(one)
                return
            except GantlineError as e:
                one.waiting.popleft()
                if following.deliver is not None:
                    deliver, following.deliver = following.deliver, None
                    deliver(following, None, e.with_traceback(None))
        if one.ending and self._open.get(request.sequence) is one:
            del self._open[request.sequence]

    def _close_idle(self, now: int) -> None:
        for _ in range(len(self._open)):
            key, one = next(iter(self._open.items()))
            if now - one.last <= self.policy.idle_ns:
                return
            if one.waiting:  # at work, not idle
                one.last = now
                self._open.move_to_end(key)
            else:
                del self._open[key]
