"""Pace: when a batch goes and how many rows it takes. Pure: state and `now` in, a choice out; it holds no clock.

Times are nanoseconds of `time.perf_counter_ns`. Greedy is the default (design decision 2); Delayed is what a
config.pbtxt may ask for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable
from typing import NamedTuple, Protocol


class Choice(NamedTuple):
    """What to do with what waits. `rows`: the most to take now, 0 to wait `until` then; `reason`: why, in one word."""

    rows: int
    until: int
    reason: str


class Pace(Protocol):
    """Asked whenever the engine is free and something waits: again after each arrival, and when `until` has come.

    `least`: rows that should be there for a batch to be worth its fixed cost, as far as that is known, 1 if not.
    """

    @property
    def least(self) -> int: ...

    def choose(self, now: int, waiting_rows: int, oldest: int, max_rows: int, shape: Hashable) -> Choice:
        """What to do now. `oldest`: when the oldest request came; `max_rows`: what one run takes, at least 1."""
        ...

    def observe(self, now: int, rows: int, shape: Hashable, run_ns: int) -> None:
        """A batch has run: its rows, and what it took from the first copy to the last."""
        ...


class Greedy:
    """Whatever waits goes at once, as many rows as fit: waiting for a batch that may never come costs every request."""

    __slots__ = ("_full", "_idle", "_rows")
    least = 1

    def __init__(self) -> None:
        self._remember(1)

    def choose(self, now: int, waiting_rows: int, oldest: int, max_rows: int, shape: Hashable) -> Choice:
        if max_rows != self._rows:
            self._remember(max_rows)
        return self._full if waiting_rows >= max_rows else self._idle

    def observe(self, now: int, rows: int, shape: Hashable, run_ns: int) -> None:
        return

    def _remember(self, rows: int) -> None:
        # the same two answers over and over: making a new one takes longer than choosing it
        self._rows = rows
        self._full, self._idle = Choice(rows, 0, "full"), Choice(rows, 0, "idle")


class Delayed:
    """Triton's dynamic batcher: wait for a preferred size until the oldest request has waited `delay_ns`.

    Without preferred sizes it is the largest batch that is waited for. The largest preferred size that is there goes
    at once and alone; once the delay has run out, everything goes that fits. Delay 0 never waits.
    """

    __slots__ = ("_delay", "_preferred")
    least = 1

    def __init__(self, delay_ns: int, preferred: Iterable[int] = ()) -> None:
        self._delay = delay_ns
        self._preferred = sorted({size for size in preferred if size > 0})

    def choose(self, now: int, waiting_rows: int, oldest: int, max_rows: int, shape: Hashable) -> Choice:
        if 0 < self._delay <= now - oldest:
            return Choice(max_rows, 0, "delay")
        if at := bisect_right(self._preferred, min(waiting_rows, max_rows)):
            return Choice(self._preferred[at - 1], 0, "preferred")
        if waiting_rows >= max_rows:
            return Choice(max_rows, 0, "full")
        return Choice(0, oldest + self._delay, "waiting") if self._delay else Choice(max_rows, 0, "idle")

    def observe(self, now: int, rows: int, shape: Hashable, run_ns: int) -> None:
        return
