"""Runner: runs one batch and gives each of its requests a result, its own error if it is to blame. On any thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter_ns
from typing import TypeAlias

from gantline.accelerators.isolation import halve, run_apart
from gantline.accelerators.session import Session

from gantline.errors import EngineFailed, GantlineError
from gantline.tensors import Array

from .assembly import Assembly, follow
from .ticket import Batch, Ticket

Result: TypeAlias = "list[Array] | GantlineError"
_log = logging.getLogger("gantline.dispatch")


class Runner:
    """`unstack` is called, on the runner's thread, when the model's outputs turn out not to follow rows."""

    def __init__(self, session: Session, assembly: Assembly, unstack: Callable[[], None]) -> None:
        self.session = session
        self.assembly = assembly
        self._unstack = unstack

    def run(self, batch: Batch) -> list[Result]:
        """Results, one for each ticket. Never raises; the batch's `times` say what it took."""
        began = perf_counter_ns()
        try:
            return self._run_part(batch) if batch.partial else self._together(batch, batch.tickets)  # type: ignore[return-value]  # of results, one kind
        except Exception as e:
            found = halve(batch.tickets, e, partial(self._together, batch), self._failure)
            batch.times = (0, perf_counter_ns() - began, 0)
            return found

    def failed(self, batch: Batch, error: BaseException) -> list[Result]:
        """The same error for each of a batch."""
        return [self._failure(error)] * len(batch.tickets)

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

    def _failure(self, error: BaseException) -> GantlineError:
        name = self.session.package.name
        if isinstance(error, EngineFailed):  # what an engine says, and in the log it stands among other models' words
            return EngineFailed(f"model '{name}' failed: {error.message}")
        if isinstance(error, GantlineError):
            return _bare(error)
        _log.error("model '%s': the engine raised", name, exc_info=error)
        return EngineFailed(f"model '{name}' failed: {type(error).__name__}; see the server's log")

    def _stack_no_more(self) -> None:
        # outputs that are not one row for each row in: this model cannot be stacked after all
        _log.warning("model '%s': outputs do not follow rows; batching is off", self.session.package.name)
        self._unstack()


def _bare(error: GantlineError) -> GantlineError:
    """Without tracebacks: these keep frames, the frames results and requests, and so a cycle the collector's work."""
    for one in (error, error.__cause__, error.__context__):
        if one is not None:
            one.__traceback__ = None
    return error
