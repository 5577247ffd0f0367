"""Dispatch: runs a model's batches, on the event loop when they are short and on a thread when they are not.

Design decision 3: which of the two is learned, at warm-up and then from every batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from functools import partial
from time import perf_counter_ns
from typing import TypeAlias

import numpy as np
from gantline.accelerators.isolation import halve, run_apart
from gantline.accelerators.session import Session

from gantline.errors import EngineFailed, GantlineError, Overloaded, Unavailable
from gantline.tensors import Array

from .alarm import Alarm
from .assembly import Assembly, follow
from .batcher import Batcher
from .exchange import Head
from .linger import Linger
from .overlap import Overlap
from .statistics import Statistics
from .ticket import DONE, LEFT, WAITING, Batch, Ticket
from .trace import Trace

INLINE_NS = 300_000  # a batch expected to take longer leaves the loop
LONE = 8  # requests in a row from one connection, after which the next is taken to be alone, too
SLICE_NS = 450_000  # after so long on the loop, others have their turn before more answers are written
_LOOP, _THREAD, _NONE = range(3)  # where a batch keeps others from beginning
Result: TypeAlias = "list[Array] | GantlineError"
_STOPPING = Unavailable("the server is stopping; try again elsewhere", "stopping")
_log = logging.getLogger("gantline.dispatch")


class Dispatch:
    """One model's engine loop: `batch = take(); outputs = run(batch); hand_out(outputs)`.

    One batch at a time, or as many as there are `instances`; while they run, requests gather in the batcher.
    """

    def __init__(
        self, session: Session, batcher: Batcher, statistics: Statistics, pool: Executor,
        assembly: Assembly | None = None, instances: int = 1,
    ) -> None:  # fmt: skip
        self.session = session
        self.batcher = batcher
        self.statistics = statistics
        self.assembly = assembly or Assembly()
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self.instances = instances
        self._scheduled = False  # a _step is under way on the loop, until its answers have been written
        self._flying = 0  # batches on threads, also until then, unless the next one began earlier
        self._pause: asyncio.TimerHandle | None = None  # a batch is held back until then
        self._alarm = Alarm(self._loop, batcher, self._deliver, self._calm)
        self._idle = asyncio.Event()
        self._idle.set()
        self.trace: Trace | None = None  # set while this model's requests are traced
        self.batch_ns = session.run_ns  # moving average, what the next batch is expected to take
        self.overlap = Overlap(session.run_ns)
        self.running = 0  # requests in batches that are computed
        self._handing_out = 0  # batches whose answers are being written
        self.last: Head | None = None  # of the last request; on a connection that sends the same again, the same one
        self._linger = Linger(self._loop.call_soon)
        self.lone = 0  # requests that came with it, in a row
        self.inline_batches = 0
        self.thread_batches = 0

    def submit(self, ticket: Ticket) -> None:
        """Queue a ticket; its `deliver` is called later, on the loop. Overloaded when it may not wait."""
        now = ticket.request.queued
        for other in self.batcher.add(ticket, now):
            name = ticket.request.model
            reason = "queue_full" if other.lane.tenant is ticket.lane.tenant else "share"
            retry = self.batcher.admission.retry_after_s(self.batcher.waiting_rows)
            message = f"model '{name}': the queue is full, and others are more due; try again later"
            self._deliver(other, Overloaded(message, reason, retry))
        if ticket.request.deadline:
            self._alarm.watch(now)
        if not self._scheduled and self._flying < self.instances:
            self._scheduled = True
            # not at once: what else has arrived in this turn of the loop joins the batch
            self._loop.call_soon(self._step)

    def submit_lone(self, ticket: Ticket) -> None:
        """The same for one with the `last` head; on an idle engine it is answered at once, before this returns.

        A turn of the loop costs as much as a small model. Who is alone: a connection that sends one request after
        another, when the last ones were all its own.
        """
        self.lone += 1
        if self.lone < LONE or self._scheduled or self._flying or not ticket.head.in_turn or not self._quick:
            self.submit(ticket)
            return
        self._scheduled = True
        try:
            self.submit(ticket)
        except Overloaded:
            self._scheduled = False
            raise
        self._step()
        self._linger.answered(ticket.request.queued)

    @property
    def _quick(self) -> bool:
        """Whether the next batch is worth no thread."""
        return self.batch_ns <= INLINE_NS and self.session.inline

    def hold(self, ticket: Ticket) -> None:
        """Keep the deadline of a ticket that is to be submitted later."""
        self.batcher.hold(ticket)
        self._alarm.watch(ticket.request.queued)

    async def drain(self) -> None:
        """Wait until nothing waits or runs."""
        while self._scheduled or self._flying or self._handing_out or len(self.batcher):
            self._idle.clear()
            await self._idle.wait()

    # -- the loop

    def _step(self) -> None:
        now = perf_counter_ns()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        batch = self.batcher.take(now)
        if self.batcher.left:
            self._let_go()
        if batch is None:
            self._rest(now)
        elif self._quick:
            self.inline_batches += 1
            results = self._run(batch)
            self._account(batch, results)
            self._handing_out += 1
            self._hand_out(batch, results, 0, now, _LOOP)
        else:
            self._scheduled = False
            self._send_off(batch)
            self._go()

    def _send_off(self, batch: Batch) -> None:
        """Run a batch on a thread."""
        self.thread_batches += 1
        self.running += len(batch.tickets)
        self._flying += 1
        try:
            future = self._pool.submit(self._run, batch)
        except RuntimeError:  # the pool has been shut down
            future = Future()
            future.set_exception(_STOPPING)
        future.add_done_callback(partial(self._ran, batch))

    def _ran(self, batch: Batch, future: Future[list[Result]]) -> None:
        """On the pool's thread. An asyncio future would take two turns of the loop; those of a busy one are long."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._back, batch, future)

    def _back(self, batch: Batch, future: Future[list[Result]]) -> None:
        now = perf_counter_ns()
        results = _results(future, batch)
        self.running -= len(batch.tickets)
        self._account(batch, results)
        place = _NONE if self._ahead(batch.rows, now) else _THREAD
        self._handing_out += 1
        self._hand_out(batch, results, 0, now, place)

    def _ahead(self, last: int, now: int) -> bool:
        """Begin the next batch, after one of `last` rows whose answers are not written yet, if that is worth while."""
        batcher = self.batcher
        waiting, most = batcher.waiting_rows, batcher.max_rows
        if self._quick or self._scheduled or not self.overlap.early(waiting, last, most, self.batch_ns):
            return False
        batch = batcher.take(now)
        if batcher.left:
            self._let_go()
        if batch is None:
            return False
        self._flying -= 1
        self._send_off(batch)
        return True

    def _go(self) -> None:
        """Go on with what waits, if it may."""
        if not self._scheduled and self._flying < self.instances:
            if len(self.batcher):
                self._scheduled = True
                self._loop.call_soon(self._step)
            elif not (self._flying or self._handing_out):
                self._idle.set()

    def _rest(self, now: int) -> None:
        """Nothing goes now: until the next request, or until the time when what waits should go."""
        self._scheduled = False
        if self.batcher.wait_until:
            self._pause = self._loop.call_later(max(self.batcher.wait_until - now, 0) / 1e9, self._wake)
        else:
            self._calm()

    def _calm(self) -> None:
        if not (self._scheduled or self._flying or self._handing_out or len(self.batcher)):
            self._idle.set()

    def _wake(self) -> None:
        if not self._scheduled and self._flying < self.instances:
            self._scheduled = True
            self._step()

    def _let_go(self) -> None:
        # a client that has left costs nothing more; the others in the batch do not notice
        left, self.batcher.left = self.batcher.left, []
        self.statistics.cancelled += len(left)
        for ticket in left:
            self._deliver(ticket, LEFT)

    # -- one batch

    def _run(self, batch: Batch) -> list[Result]:
        """Results, one for each ticket. Never raises; the batch's `times` say what it took."""
        began = perf_counter_ns()
        try:
            return self._run_part(batch) if batch.partial else self._together(batch, batch.tickets)  # type: ignore[return-value]  # of results, one kind
        except Exception as e:
            found = halve(batch.tickets, e, partial(self._together, batch), self._failure)
            batch.times = (0, perf_counter_ns() - began, 0)
            return found

    def _run_part(self, batch: Batch) -> list[Result]:
        """A batch that begins with some rows of a large request; with all, if its outputs turn out not to follow."""
        first, together = batch.tickets[0], partial(self._together, batch)
        piece = first.piece(batch.start, batch.stop)
        results = run_apart([piece, *batch.tickets[1:]], together, self._failure)
        if not isinstance(results[0], GantlineError) and not follow(results[0], piece.rows):
            self._stack_no_more()
            batch.start, batch.stop, batch.partial = 0, first.rows, False
            results[:1] = run_apart([first], together, self._failure)
        return results

    def _together(self, batch: Batch, tickets: Sequence[Ticket]) -> list[list[Array]]:
        """Run some of a batch's tickets, or a piece of one; the batch is told what it took."""
        first = tickets[0]
        a = perf_counter_ns()
        if len(tickets) == 1:
            found = self.session.run(first.request.inputs, first.outputs)
            batch.times = (0, perf_counter_ns() - a, 0)
            return [found]
        feed = self.assembly.stack(tickets)
        b = perf_counter_ns()
        found = self.session.run(feed, first.outputs)
        c = perf_counter_ns()
        if not follow(found, sum([t.rows for t in tickets])):
            self._stack_no_more()
            return [self._together(batch, [t])[0] for t in tickets]
        results = self.assembly.split(tickets, found)
        batch.times = (b - a, c - b, perf_counter_ns() - c)
        return results

    def _failure(self, error: Exception) -> GantlineError:
        if isinstance(error, GantlineError):
            return _bare(error)
        name = self.session.package.name
        _log.error("model '%s': the engine raised", name, exc_info=error)
        return EngineFailed(f"model '{name}' failed: {type(error).__name__}; see the server's log")

    def _stack_no_more(self) -> None:
        # outputs that are not one row for each row in: this model cannot be stacked after all
        _log.warning("model '%s': outputs do not follow rows; batching is off", self.session.package.name)
        self.batcher.max_rows = 0

    # -- and its answers

    def _account(self, batch: Batch, results: Sequence[Result]) -> None:
        """A batch has run: tell those who count and those who learn."""
        assemble, compute, split = batch.times
        took = assemble + compute + split
        self.batch_ns += (took - self.batch_ns) >> 3
        started = perf_counter_ns() - took
        self.running = 0
        requests = [ticket.request for ticket in batch.tickets]
        self.statistics.executed(requests, batch.rows, started, batch.times, batch.reason, batch.start > 0)
        batcher, ended = self.batcher, started + took
        batcher.pace.observe(ended, batch.rows, batch.tickets[0].key, took)
        limited = batch.behind > 0 and batch.reason != "learning"
        batcher.admission.observe(
            ended, batch.rows, requests[0].arrived, batcher.waiting_rows, limited, batcher.pace.least
        )
        for ticket in batcher.shed():
            self._deliver(ticket, batcher.refusal(ticket.request.model, "admission"))
        if self.trace is not None:
            self.trace.batch(batch.tickets, started, batch.times)

    def _hand_out(
        self, batch: Batch, results: Sequence[Result], at: int, began: int, place: int, took: int = 0
    ) -> None:
        """Write the answers from the one at `at` on. `place`: what the batch still holds; `took`: in turns before."""
        entered = perf_counter_ns()
        for i in range(at, len(results)):
            ticket, result = batch.tickets[i], results[i]
            if i == 0 and batch.partial and not isinstance(result, GantlineError):
                self._join(ticket, batch, result)
            else:
                self._deliver(ticket, result)
            if i & 3 == 3 and perf_counter_ns() - began > SLICE_NS and i + 1 < len(results):
                took += perf_counter_ns() - entered
                self._loop.call_soon(self._go_on, batch, results, i + 1, place, took)
                return
        self._handing_out -= 1
        if len(results) > 1:
            self.overlap.wrote(took + perf_counter_ns() - entered)
        if place == _LOOP:
            self._scheduled = False
        elif place == _THREAD:
            self._flying -= 1
        self._go()

    def _go_on(self, batch: Batch, results: Sequence[Result], at: int, place: int, took: int) -> None:
        self._hand_out(batch, results, at, perf_counter_ns(), place, took)

    def _join(self, ticket: Ticket, batch: Batch, found: list[Array]) -> None:
        """Keep a part of an answer, by its first row: several instances end in any order. The last completes it."""
        if ticket.parts is None:
            ticket.parts = {}
        ticket.parts[batch.start] = found
        ticket.joined += batch.stop - batch.start
        if ticket.joined == ticket.rows:
            parts = [ticket.parts[start] for start in sorted(ticket.parts)]
            self._deliver(ticket, [np.concatenate(columns) for columns in zip(*parts, strict=True)])

    def _deliver(self, ticket: Ticket, result: Result) -> None:
        """Answer a ticket, unless it has been answered: when its deadline passed, say."""
        deliver, ticket.deliver = ticket.deliver, None
        if deliver is None:
            return
        if ticket.state == WAITING:
            self.batcher.drop(ticket)
        ticket.state = DONE
        try:
            if isinstance(result, GantlineError):
                deliver(ticket, None, result)
            else:
                deliver(ticket, result, None)
        except Exception:  # one answer that cannot be sent must not stop the model for all
            _log.exception("model '%s': an answer could not be delivered", self.session.package.name)


def _bare(error: GantlineError) -> GantlineError:
    """Without tracebacks: these keep frames, the frames results and requests, and so a cycle the collector's work."""
    for one in (error, error.__cause__, error.__context__):
        if one is not None:
            one.__traceback__ = None
    return error


def _results(future: Future[list[Result]], batch: Batch) -> list[Result]:
    """What a thread found; Unavailable for all when it never ran, because the server stops."""
    try:
        return future.result()
    except Exception:
        return [_STOPPING] * len(batch.tickets)
