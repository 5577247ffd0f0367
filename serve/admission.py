"""Admission: how many rows may wait for a model, and how many bytes for the server. Pure; times in nanoseconds.

What is in a queue costs its clients time and the server memory, and a queue longer than anybody's patience serves
nobody. How fast a queue empties is measured while one stands; from that follows how long it may be.
"""

from __future__ import annotations

import math

from gantline.errors import Overloaded

_AIM = 0.85  # of the target, where the latency of the oldest in a batch is held: others of a batch are younger
_WORST = 0.95  # the quantile of these that is looked at
_SPREAD = 1.5  # times the median: the most that this quantile is taken to be
_SPAN, _LEAST = 200_000_000, 20  # between two corrections, and batches
_DOWN, _UP = 0.7, 1.5  # a correction, at most
_WORTH = 1.04
_IN_A_ROW = 3  # batches that are late, before a limit is guessed anew
MAX_RETRY_S = 60.0
MIB = 1 << 20
# bytes; smaller bodies are not counted: a full queue of them is small, and counting them would cost each of them time
COUNTED = 16 << 10


class Admission:
    """`limit`: the rows that may wait now, `most` in any case.

    With a target the limit follows the latency of those answered while it is near: in proportion, so that it comes to
    rest. Without one only a queue of `max_wait_ns` is too long. Gradient methods (Vegas, Netflix's) take a longer run
    for congestion and would forbid the batches that make a server fast; a limit worked out from the rate alone stays
    low, because a short queue makes small batches and these a low rate.
    """

    __slots__ = (
        "_batch", "_cycle", "_due", "_ended", "_late", "_pressed", "_stood", "_took", "limit", "max_wait_ns", "most",
        "rate", "target_ns",
    )  # fmt: skip

    def __init__(self, most: int, target_ns: int = 0, max_wait_ns: int = 0) -> None:
        self.most = self.limit = most
        self.target_ns = target_ns
        self.max_wait_ns = max_wait_ns
        self.rate = 0.0  # rows a nanosecond while more wait than one batch takes; 0 before that was so
        self._cycle = self._batch = 0.0  # while a queue stands: from one batch's end to the next one's, and its rows
        self._ended = 0  # when the last batch did
        self._stood = False  # and whether something waited
        self._took: list[int] = []  # by the oldest of each batch, since the last correction
        self._late = 0  # batches in a row whose oldest missed the target
        self._due = 0
        self._pressed = False  # the limit was near since the last correction

    def __repr__(self) -> str:
        return f"<Admission {self.limit} rows, {self.rate * 1e9:.0f} rows/s>"

    def observe(self, now: int, rows: int, oldest: int, waiting: int, limited: bool, least: int) -> None:
        """A batch has ended, its oldest request came at `oldest`, and so many rows wait.

        `limited`: when it began more had waited than it took. `least`: rows that may wait in any case: where latency
        comes from elsewhere, refusing does not help, and an engine without a queue runs small batches.
        """
        if self._stood:
            if limited:  # else more would have gone if more had come
                self._learn(rows / max(now - self._ended, 1))
            if self.target_ns:
                step = 8 if self._cycle else 1
                self._cycle += (now - self._ended - self._cycle) / step
                self._batch += (rows - self._batch) / step
                self._follow(now, now - oldest, waiting, min(least, self.most))
        self._ended = now
        self._stood = waiting > 0

    def turn(self, rows: int) -> int:
        """How long it takes until so many rows have gone, 0 when that is not known."""
        return int(rows / self.rate) if self.rate else 0

    def retry_after_s(self, rows: int) -> float:
        """When it is worth another try, with so many rows waiting."""
        return min(max(self.turn(rows) / 1e9, 1.0), MAX_RETRY_S)

    def _learn(self, rate: float) -> None:
        # up fast and down slowly: small batches (the first ones, a rare shape) must not look like a slow engine
        self.rate += (rate - self.rate) / (16 if rate < self.rate else 2 if self.rate else 1)
        if self.max_wait_ns and not self.target_ns:
            self.limit = min(int(self.rate * self.max_wait_ns) + 1, self.most)

    def _follow(self, now: int, took: int, waiting: int, least: int) -> None:
        self._took.append(took)
        self._pressed = self._pressed or 2 * waiting > self.limit
        self._late = self._late + 1 if took > self.target_ns else 0
        if self.rate and (self._late >= _IN_A_ROW or waiting > self.rate * self.target_ns):
            # what comes as a batch begins waits for that one
            room = int(self.rate * (_AIM * self.target_ns - 1.5 * self._cycle))
            guess = max(room, int(self._batch), least)
            if self.limit > 2 * guess:
                self.limit = guess
                self._begin(now)
                return
        if now >= self._due and len(self._took) >= _LEAST:
            if self._pressed:
                self._correct(least)
            self._begin(now)

    def _correct(self, least: int) -> None:
        self._took.sort()
        # what takes much longer than half of them was held up by something else than the queue
        worst = min(self._took[int(_WORST * len(self._took))], _SPREAD * self._took[len(self._took) // 2])
        change = _AIM * self.target_ns / worst
        change = max(change, _DOWN) if change < 1 else min(math.sqrt(change), _UP)  # up with more care
        # up by a row at least, but not for next to nothing
        self.limit = min(max(int(self.limit * change) + (change > _WORTH), least), self.most)

    def _begin(self, now: int) -> None:
        self._due = now + _SPAN
        self._took.clear()
        self._pressed = False


class ByteBudget:
    """Bytes of the bodies of requests that wait or run, of all models together; `limit` is the most."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def __repr__(self) -> str:
        return f"<ByteBudget {self.held}/{self.limit}>"

    def hold(self, size: int) -> Hold:
        """Room for a body; to be freed when its request is answered.

        Overloaded when there is none. One that comes alone is always taken: else it could never be.
        """
        if self.held and self.held + size > self.limit:
            raise Overloaded(
                f"requests of {self.held / MIB:.1f} MiB are waiting already, {self.limit / MIB:.1f} MiB may; "
                "try again later",
                "bytes",
            )
        self.held += size
        return Hold(self, size)


class Hold:
    """Part of a budget, for one request."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: ByteBudget, size: int) -> None:
        self._budget = budget
        self._size = size

    def free(self) -> None:
        """Give it back; a second time does nothing."""
        self._budget.held -= self._size
        self._size = 0
