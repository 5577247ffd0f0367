"""Dispatch: runs a model's batches, on the event loop when they are short and on a thread when they are not.

Design decision 3: which of the two is learned, at warm-up and then from every batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from time import perf_counter_ns
from typing import TypeAlias

import numpy as np
from gantline.accelerators.session import Session

from gantline.errors import EngineFailed, GantlineError, Unavailable
from gantline.tensors import Array

from .batcher import Batcher, Ticket
from .statistics import Statistics
from .trace import Trace

INLINE_NS = 300_000  # a batch expected to take longer leaves the loop
# one for each ticket, and the nanoseconds of assembling, computing and splitting
Results: TypeAlias = tuple[Sequence[list[Array] | GantlineError], tuple[int, int, int]]
_STOPPING = Unavailable("the server is stopping; try again elsewhere")
_log = logging.getLogger("gantline.dispatch")


class Dispatch:
    """One model's engine loop: `batch = take(); outputs = run(batch); deliver(outputs)`.

    One batch at a time; while it runs, requests gather in the batcher.
    """

    def __init__(self, session: Session, batcher: Batcher, statistics: Statistics, pool: Executor) -> None:
        self.session = session
        self.batcher = batcher
        self.statistics = statistics
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._scheduled = False  # a _step is under way, on the loop or on a thread
        self._idle = asyncio.Event()
        self._idle.set()
        self.batch_ns = session.run_ns  # moving average, what the next batch is expected to take
        self.inline_batches = 0
        self.thread_batches = 0
        self.trace: Trace | None = None  # set while this model's requests are traced

    def submit(self, ticket: Ticket) -> None:
        """Queue a ticket; its `deliver` is called later, on the loop. Unavailable when the queue is full."""
        self.batcher.add(ticket)
        if not self._scheduled:
            self._scheduled = True
            # not at once: what else has arrived in this turn of the loop joins the batch
            self._loop.call_soon(self._step)

    async def drain(self) -> None:
        """Wait until nothing waits or runs."""
        while self._scheduled or len(self.batcher):
            self._idle.clear()
            await self._idle.wait()

    def _step(self) -> None:
        batch = self._live(self.batcher.take())
        if not batch:
            if len(self.batcher):
                self._loop.call_soon(self._step)
            else:
                self._rest()
            return
        if self.batch_ns <= INLINE_NS and self.session.inline:
            self.inline_batches += 1
            self._finish(batch, *self._run(batch))
            return
        self.thread_batches += 1
        try:
            future = self._loop.run_in_executor(self._pool, self._run, batch)
        except RuntimeError:  # the pool has been shut down
            self._finish(batch, [_STOPPING] * len(batch), (0, 0, 0))
            return
        future.add_done_callback(lambda f: self._finish(batch, *_results(f, len(batch))))

    def _rest(self) -> None:
        self._scheduled = False
        self._idle.set()

    def _live(self, batch: list[Ticket]) -> list[Ticket]:
        # a client that has left costs nothing more; the others in the batch do not notice
        for ticket in batch:
            if ticket.responder.closed:
                live = [t for t in batch if not t.responder.closed]
                self.statistics.cancelled += len(batch) - len(live)
                return live
        return batch

    def _run(self, batch: list[Ticket]) -> Results:
        """Results, one for each ticket, and the times of assembling, computing and splitting. Never raises."""
        a = perf_counter_ns()
        try:
            if len(batch) == 1:
                ticket = batch[0]
                found = self._engine(ticket.request.inputs, ticket.outputs, ticket.rows)
                b = perf_counter_ns()
                return [found], (0, b - a, 0)
            first = batch[0].request.inputs
            feed = {name: np.concatenate([t.request.inputs[name] for t in batch]) for name in first}
            b = perf_counter_ns()
            rows = sum(t.rows for t in batch)
            found = self._engine(feed, batch[0].outputs, rows)
            c = perf_counter_ns()
            return self._split(batch, found, rows), (b - a, c - b, perf_counter_ns() - c)
        except Exception as e:
            if len(batch) == 1:
                return [self._failure(e)], (0, perf_counter_ns() - a, 0)
            # somebody's input broke the batch: each alone, so that only the guilty pays
            return [self._run([t])[0][0] for t in batch], (0, perf_counter_ns() - a, 0)

    def _failure(self, error: Exception) -> GantlineError:
        if isinstance(error, GantlineError):
            return error
        name = self.session.package.name
        _log.error("model '%s': the engine raised", name, exc_info=error)
        return EngineFailed(f"model '{name}' failed: {type(error).__name__}; see the server's log")

    def _engine(self, feed: dict[str, Array], outputs: tuple[str, ...], rows: int) -> list[Array]:
        limit = self.batcher.max_rows
        if not limit or rows <= limit:
            return self.session.run(feed, outputs)
        # more rows than the model takes at once: slices, joined again
        joined: list[list[Array]] = []
        for at in range(0, rows, limit):
            part = {n: a[at : at + limit] for n, a in feed.items()}
            found = self.session.run(part, outputs)
            if not _follow(found, min(limit, rows - at)):
                self._stack_no_more()
                return self.session.run(feed, outputs)
            joined.append(found)
        return [np.concatenate(columns) for columns in zip(*joined, strict=True)]

    def _split(self, batch: list[Ticket], found: list[Array], rows: int) -> list[list[Array] | GantlineError]:
        if not _follow(found, rows):
            self._stack_no_more()
            return [self._run([t])[0][0] for t in batch]
        results: list[list[Array] | GantlineError] = []
        at = 0
        for ticket in batch:
            end = at + ticket.rows
            results.append([array[at:end] for array in found])
            at = end
        return results

    def _finish(
        self, batch: list[Ticket], results: Sequence[list[Array] | GantlineError], times: tuple[int, int, int]
    ) -> None:
        took = sum(times)
        self.batch_ns += (took - self.batch_ns) >> 3
        rows, queued, started = 0, 0, perf_counter_ns() - took
        for ticket in batch:
            rows += ticket.rows
            queued += max(started - ticket.request.queued, 0)
        self.statistics.executed(len(batch), rows, queued, *times)
        for ticket, result in zip(batch, results, strict=True):
            try:
                if isinstance(result, GantlineError):
                    ticket.deliver(ticket, None, result)
                else:
                    ticket.deliver(ticket, result, None)
            except Exception:  # one answer that cannot be sent must not stop the model for all
                _log.exception("model '%s': an answer could not be delivered", self.session.package.name)
        if self.trace is not None:
            self.trace.batch(batch, started, times)
        if len(self.batcher):
            self._loop.call_soon(self._step)
        else:
            self._rest()

    def _stack_no_more(self) -> None:
        # outputs that are not one row for each row in: this model cannot be stacked after all
        _log.warning("model '%s': outputs do not follow rows; batching is off", self.session.package.name)
        self.batcher.max_rows = 0


def _follow(outputs: list[Array], rows: int) -> bool:
    """Whether each output has one row for each row in."""
    for array in outputs:  # noqa: SIM110  # all() with a generator takes three times as long
        if not array.shape or array.shape[0] != rows:
            return False
    return True


def _results(future: asyncio.Future[Results], requests: int) -> Results:
    """What a thread found; Unavailable for all when it never ran, because the server stops."""
    try:
        return future.result()
    except (Exception, asyncio.CancelledError):
        return [_STOPPING] * requests, (0, 0, 0)
