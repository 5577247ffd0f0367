"""Gathering: whether to wait a little before a batch, because those just answered will come again. Pure.

Clients that wait for an answer before they ask again fall into two groups, one of which is always a run behind: twice
the batches, each half as large. A short wait joins them. Whether it does is tried, not guessed: some batches with
waiting after some without, and it goes on only while more rows a second come of it. Where requests come by themselves
none do, so nothing waits.
"""

from __future__ import annotations

from typing import Any

from .run_times import RunTimes

_ROWS, _BATCHES = 1000, 32  # of one measurement, both at least: chance alone moves it by some percent
_GAIN = 1.1  # rows a second, times those without waiting, that make it worth while
_PROMISE = 1.15  # and what the run times must promise of a batch twice as large
_BUSY = 0.85  # share of the time that the engine runs; with idle time to spare there is nothing to gain
_WAIT = 0.25  # of a run: the longest wait
_ROOM = 2  # runs that there must be time for after a wait: who comes just too late waits for one, and then for his own
_PAUSE = 3  # a wait ends when for this part of it nobody came
_FEW, _MANY = 8, 512  # measurements between two trials

ALONE, TRIAL, TOGETHER, CHECK = "alone", "trial", "together", "check"


class Gathering:
    """Off until a trial shows that it pays, and checked from time to time. Times in nanoseconds."""

    __slots__ = (
        "_after",
        "_batches",
        "_began",
        "_busy",
        "_every",
        "_expected",
        "_freed",
        "_fresh",
        "_last",
        "_looked",
        "_rate",
        "_rows", "_settled",
        "_until",
        "_with",
        "state",
    )  # fmt: skip

    def __init__(self) -> None:
        self.state = self._settled = ALONE
        self._rows = self._batches = self._busy = self._began = 0  # the measurement under way
        self._rate = self._with = 0.0  # rows a nanosecond: the last measurements without and with waiting
        self._after, self._every = 1, _FEW  # measurements until the next trial or check, and after it
        self._freed = self._last = 0  # when the last batch ended, and its rows
        self._fresh = False  # nobody has asked since
        self._expected = self._looked = self._until = 0

    def until(self, now: int, rows: int, max_rows: int, times: RunTimes, slack: float) -> int:
        """Until when to wait with so many rows there, 0 for not at all; the oldest has `slack` left for its run."""
        if self._fresh:
            self._fresh = False
            self._expected = min(rows + self._last, max_rows)
            self._looked = 0
            self._consider(times, slack)
        if self.state in (ALONE, CHECK) or rows >= self._expected:
            return 0
        wait = _WAIT * times.expect(rows)
        limit = self._freed + int(wait)
        if now >= limit or (rows == self._looked and now >= self._until):
            return 0
        if limit - now + _ROOM * times.tail(self._expected) > slack:
            return 0
        self._looked, self._until = rows, min(limit, now + int(wait / _PAUSE) + 1)
        return self._until

    def ran(self, now: int, rows: int, run_ns: int) -> None:
        """A batch has run."""
        self._freed, self._last, self._fresh = now, rows, True
        self._rows += rows
        self._batches += 1
        self._busy += run_ns
        if self._rows >= _ROWS and self._batches >= _BATCHES:
            self._judge(now)

    def describe(self) -> dict[str, Any]:
        """For people; rows a second."""
        return {"state": self.state, "rows_s": self._rate * 1e9, "rows_s_together": self._with * 1e9}

    def _consider(self, times: RunTimes, slack: float) -> None:
        """Begin a trial if it is time and the run times promise something."""
        if self.state != ALONE or self._after > 0 or self._rows:
            return
        more = self._expected
        if more > self._last > 0 and (_ROOM + _WAIT) * times.tail(more) < slack:
            promise = more * times.expect(self._last) / (self._last * times.expect(more) * (1 + _WAIT / 2))
            if promise > _PROMISE:
                self.state = TRIAL

    def _judge(self, now: int) -> None:
        span = now - self._began
        rate, busy = self._rows / max(span, 1), self._busy / max(span, 1)
        self._rows = self._batches = self._busy = 0
        self._began = now
        self._after -= 1
        if self.state == ALONE:
            self._rate = rate
            if busy < _BUSY:
                self._after = max(self._after, 1)
        elif self.state == TRIAL:
            if rate > _GAIN * self._rate:
                self._with, self.state = rate, CHECK  # and more than afterwards: it was not just that more came
            else:
                self._settle(False, rate, self._rate)
        elif self.state == TOGETHER:
            self._with = rate
            if self._after <= 0:
                self.state = CHECK
        else:
            self._settle(self._with > _GAIN * rate, self._with, rate)

    def _settle(self, pays: bool, together: float, alone: float) -> None:
        self._with, self._rate = together, alone
        state = TOGETHER if pays else ALONE
        # the longer nothing changes, the seldomer it is tried
        self._every = min(2 * self._every, _MANY) if state == self._settled else _FEW
        self.state = self._settled = state
        self._after = self._every
