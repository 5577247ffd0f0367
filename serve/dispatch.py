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

import numpy as np
from gantline.accelerators.session import Session

from gantline.errors import GantlineError, Overloaded, Unavailable
from gantline.tensors import Array

from .alarm import Alarm
from .assembly import Assembly
from .batcher import Batcher
from .exchange import Head
from .linger import Linger
from .overlap import Overlap
from .runner import Result, Runner
from .statistics import Statistics
from .ticket import DONE, LEFT, WAITING, Batch, Ticket
from .trace import Trace

INLINE_NS = 300_000  # a batch expected to take longer leaves the loop
LONE = 8  # requests in a row from one connection, after which the next is taken to be alone, too
SLICE_NS = 450_000  # after so long on the loop, others have their turn before more answers are written
_LOOP, _THREAD, _NONE = range(3)  # where a batch keeps others from beginning
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
        self._runner = Runner(session, assembly or Assembly(), self._unstack)
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
        with self.batcher.lock:
            out = self.batcher.add(ticket, now)
        for other in out:
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
        with self.batcher.lock:
            self.batcher.hold(ticket)
        self._alarm.watch(ticket.request.queued)

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits or runs."""
        return not (self._scheduled or self._flying or self._handing_out or len(self.batcher))

    async def drain(self) -> None:
        """Wait until nothing waits or runs."""
        while not self.at_rest:
            self._idle.clear()
            await self._idle.wait()

    # -- the loop

    def _step(self) -> None:
        now = perf_counter_ns()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        batch = self._take(now)
        if batch is None:
            self._rest(now)
        elif self._quick:
            self.inline_batches += 1
            results = self._runner.run(batch)
            with self.batcher.lock:
                self._learn(batch)
            self._account(batch)
            self._handing_out += 1
            self._hand_out(batch, results, 0, now, _LOOP)
        else:
            self._scheduled = False
            self._send_off(batch)
            self._go()

    def _take(self, now: int) -> Batch | None:
        if 0 < self.batcher.next_deadline <= now:
            self._alarm.expire(now)
        with self.batcher.lock:
            batch = self.batcher.take(now)
        if self.batcher.left:
            self._let_go()
        return batch

    def _send_off(self, batch: Batch) -> None:
        """Run a batch on a thread."""
        self.running += len(batch.tickets)
        self._flying += 1
        try:
            future = self._pool.submit(self._fly, batch)
        except RuntimeError:  # the pool has been shut down
            future = Future()
            future.cancel()
        future.add_done_callback(partial(self._fell, batch))

    def _fly(self, batch: Batch) -> None:
        """On the pool's thread: a batch, and what waits when it ends, as long as nobody else needs the thread.

        For the loop to say what is next it would have to be asked, which takes a busy one longer than a small run.
        """
        following: Batch | None = batch
        while following is not None:
            batch, following = following, None
            try:
                results = self._runner.run(batch)
                with self.batcher.lock:
                    self._learn(batch)
                    self.overlap.ran(batch.rows, sum(batch.times))
                    following = self._following(batch)
            except BaseException as e:  # of a kind that is no engine's, such as a thread's end
                results = self._runner.failed(batch, e)
                batch.ended = perf_counter_ns()
            # an asyncio future would take two turns of the loop; those of a busy one are long
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._back, batch, results, following)

    def _unstack(self) -> None:
        self.batcher.max_rows = 0

    def _fell(self, batch: Batch, future: Future[None]) -> None:
        """The thread has ended, or never began, because the server stops."""
        if future.cancelled():
            results: list[Result] = [_STOPPING] * len(batch.tickets)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._back, batch, results, None)

    def _following(self, last: Batch) -> Batch | None:
        """On the thread, which holds the lock: the batch to run after the last one, without asking the loop."""
        batcher = self.batcher
        if self._quick or _others_wait(self._pool):
            return None
        waiting, most = batcher.waiting_rows, batcher.max_rows
        if not self.overlap.early(waiting, last.rows, most, self.batch_ns, len(last.tickets)):
            return None
        if 0 < batcher.next_deadline <= last.ended:
            return None  # the loop has answers to give before anything begins
        return batcher.take(last.ended)

    def _back(self, batch: Batch, results: list[Result], following: Batch | None) -> None:
        now = perf_counter_ns()
        self.thread_batches += 1
        self.running -= len(batch.tickets)
        self._account(batch)
        if self.batcher.left:
            self._let_go()
        if following is not None:
            self.running += len(following.tickets)
        place = _NONE if following is not None or self._ahead(batch, 0, now) else _THREAD
        self._handing_out += 1
        self._hand_out(batch, results, 0, now, place)

    def _ahead(self, last: Batch, written: int, now: int) -> bool:
        """Begin the next batch, while so many of the last one's answers are written, if that is worth while."""
        batcher, answers = self.batcher, len(last.tickets) - written
        rows = last.rows * answers // len(last.tickets)
        if self._quick or self._scheduled or not self.overlap.early(
            batcher.waiting_rows, rows, batcher.max_rows, self.batch_ns, answers
        ):  # fmt: skip
            return False
        batch = self._take(now)
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
        if self.at_rest:
            self._idle.set()

    def _wake(self) -> None:
        if not self._scheduled and self._flying < self.instances:
            self._scheduled = True
            self._step()

    def _let_go(self) -> None:
        # a client that has left costs nothing more; the others in the batch do not notice
        with self.batcher.lock:
            left, self.batcher.left = self.batcher.left, []
        self.statistics.cancelled += len(left)
        for ticket in left:
            self._deliver(ticket, LEFT)

    # -- what a batch gave

    def _learn(self, batch: Batch) -> None:
        """A batch has ended just now: what it took. Whoever ran it calls this, and holds the batcher's lock."""
        batch.ended = ended = perf_counter_ns()
        took = sum(batch.times)
        self.batch_ns += (took - self.batch_ns) >> 3
        batcher, first = self.batcher, batch.tickets[0]
        batcher.pace.observe(ended, batch.rows, first.key, took)
        limited = batch.behind > 0 and batch.reason != "learning"
        batcher.admission.observe(
            ended, batch.rows, first.request.arrived, batcher.waiting_rows, limited, batcher.pace.least
        )

    def _account(self, batch: Batch) -> None:
        """A batch has run: tell those who count, and refuse those who would wait too long now."""
        requests, started = [ticket.request for ticket in batch.tickets], batch.ended - sum(batch.times)
        self.statistics.executed(requests, batch.rows, started, batch.times, batch.reason, batch.start > 0)
        batcher = self.batcher
        with batcher.lock:
            shed = batcher.shed()
        for ticket in shed:
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
            self.overlap.wrote(len(results), took + perf_counter_ns() - entered)
        if place == _LOOP:
            self._scheduled = False
        elif place == _THREAD:
            self._flying -= 1
        self._go()

    def _go_on(self, batch: Batch, results: Sequence[Result], at: int, place: int, took: int) -> None:
        now = perf_counter_ns()
        if place == _THREAD and self._ahead(batch, at, now):
            place = _NONE
        self._hand_out(batch, results, at, now, place, took)

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
            with self.batcher.lock:
                self.batcher.drop(ticket)
        ticket.state = DONE
        try:
            if isinstance(result, GantlineError):
                deliver(ticket, None, result)
            else:
                deliver(ticket, result, None)
        except Exception:  # one answer that cannot be sent must not stop the model for all
            _log.exception("model '%s': an answer could not be delivered", self.session.package.name)


def _others_wait(pool: Executor) -> bool:
    """Whether the pool's threads have more to do, or should come to an end."""
    queue = getattr(pool, "_work_queue", None)
    return queue is None or queue.qsize() > 0 or bool(getattr(pool, "_shutdown", True))
