"""Overlap: whether the next batch begins before the answers of the last one have been written. Pure; nanoseconds.

While answers are written and the next requests read the engine could run. But clients that wait for their answer
before they ask again are then always in two groups: twice as many batches, each with its fixed cost. So what waits
begins early only if that cost is less than the time that would be lost, or if waiting would not bring a larger batch.
Where runs are short beside writing and reading, it is these that bound the rate: smaller batches, each handed to a
thread and back, would only take time from them.
"""

from __future__ import annotations

_STEP = 8  # one part in so many of what is new goes into the average
_SHORT = 2  # runs of less than one part in so many of that time are short
_READING = 2  # reading the next requests takes about as long as writing the answers to the last


class Overlap:
    """`fixed_ns`: what a run takes at least, as far as that is known."""

    __slots__ = ("_written", "fixed_ns")

    def __init__(self, fixed_ns: int) -> None:
        self.fixed_ns = fixed_ns
        self._written = 0  # how long it takes to write a batch's answers

    def __repr__(self) -> str:
        return f"<Overlap {self.between_ns / 1e6:.2f} ms between batches, {self.fixed_ns / 1e6:.2f} ms a run>"

    @property
    def between_ns(self) -> int:
        """For how long the engine would stand still between two batches."""
        return _READING * self._written

    def early(self, waiting: int, last: int, most: int, run_ns: int) -> bool:
        """Whether to begin now with so many rows there, after a batch of `last`.

        `most`: rows a batch can have; `run_ns`: what a batch takes lately.
        """
        if not waiting:
            return False
        between = self.between_ns
        return waiting >= min(last, most or 1) or (between > self.fixed_ns and _SHORT * run_ns > between)

    def wrote(self, took: int) -> None:
        """A batch's answers have been written."""
        self._written += (took - self._written) // _STEP
