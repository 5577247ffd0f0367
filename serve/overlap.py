"""Overlap: whether the next batch begins before the answers of the last one have been written. Pure; nanoseconds.

While answers are written and the next requests read the engine could run. But clients that wait for their answer
before they ask again are then always in two groups: twice as many batches, each with its fixed cost. So what waits
begins early only if that cost is less than the time that would be lost, or if waiting would not bring a larger batch.
Where runs are short beside writing and reading, it is these that bound the rate: smaller batches, each handed to a
thread and back, would only take time from them.
"""

from __future__ import annotations

from .run_times import RunTimes

_KNOWN = 4  # batches before their times are believed
_STEP = 8  # one part in so many of what is new goes into the average
_SHORT = 2  # runs of less than one part in so many of that time are short
_READING = 2  # reading the next requests takes about as long as writing the answers to the last


class Overlap:
    """`run_ns`: what a run of one row takes."""

    __slots__ = ("_each", "between_ns", "fixed_ns", "times")

    def __init__(self, run_ns: int) -> None:
        self.times = RunTimes()
        self.fixed_ns = run_ns  # what two runs instead of one cost more, as asked last
        self.between_ns = 0  # for how long the engine would stand still before one batch, as asked last
        self._each = 0  # how long it takes to write an answer

    def __repr__(self) -> str:
        return f"<Overlap {self._each / 1e3:.1f} us an answer, {self.fixed_ns / 1e6:.2f} ms a run>"

    def early(self, waiting: int, last: int, most: int, run_ns: int, answers: int) -> bool:
        """Whether to begin now with so many rows there, while `answers` for `last` rows are still to be written.

        `most`: rows a batch can have; `run_ns`: what a batch takes lately.
        """
        if not waiting:
            return False
        if waiting >= min(last, most or 1):
            return True
        if len(self.times) >= _KNOWN:
            expect = self.times.expect
            self.fixed_ns = max(int(expect(waiting) + expect(last) - expect(min(last + waiting, most))), 0)
        self.between_ns = between = _READING * self._each * answers
        return between > self.fixed_ns and _SHORT * run_ns > between

    def ran(self, rows: int, took: int) -> None:
        """A batch of so many rows has run."""
        if self.times.add(rows, took):
            self.times.fit()

    def wrote(self, answers: int, took: int) -> None:
        """A batch's answers have been written."""
        self._each += (took // answers - self._each) // _STEP
