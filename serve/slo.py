"""Slo: the pace that keeps a latency target. It learns run times while it serves, and says why it chose. Pure.

Whatever waits goes at once, as with Greedy, but for four reasons: "learning", a size far from those seen is come to in
steps; "target", fewer rows now make fewer requests late; "step", the cost jumps after a smaller size; "gather", clients
just answered are about to ask again (see Gathering). Times are nanoseconds of `time.perf_counter_ns`.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from typing import Any

from .gathering import Gathering
from .pace import Choice
from .run_times import RunTimes, class_end, size_class

MAX_SHAPES = 64  # of which run times are kept apart
_MARGIN = 0.9  # of the target: the rest is for what happens before the queue and after the run
_CALM = 0.6  # of that: while some took longer, nothing is tried that could make them later
_FORGET = 0.99  # a batch
_FLOOR = 1.5  # runs that the target must have room for: waiting for half of one and then one's own
_REPLAN = 64  # batches between two plans, when there are many already
_STEP = 1.05  # a smaller size with a rate so much better ends before a step in the cost


class _Plan:
    """What follows from the run times of one shape, worked out now and then."""

    __slots__ = ("due", "floor", "most", "steps", "times", "used")

    def __init__(self) -> None:
        self.times = RunTimes()
        self.floor = 1  # rows: the size with the best rate of those that the target allows
        self.most = 1  # rows: the class after the largest that was seen
        self.steps: list[int] = []  # sizes after which the cost jumps
        self.due = 0  # batches seen when it is to be worked out again
        self.used = 0  # when it was asked for last


class Slo:
    """Keeps requests below `target_ns`, from queueing to the end of the run, at the best rate that allows."""

    def __init__(self, target_ns: int) -> None:
        self.target_ns = target_ns
        self._budget = target_ns * _MARGIN
        self._plans: dict[Hashable, _Plan] = {}
        self._gathering = Gathering()
        self.least = 1
        self._oldest = 0  # the oldest request of the batch that runs
        self._worst = 0.0  # how long the oldest of a batch took lately, at most

    def __repr__(self) -> str:
        return f"<Slo {self.target_ns / 1e6:g} ms, {len(self._plans)} shapes>"

    def choose(self, now: int, waiting_rows: int, oldest: int, max_rows: int, shape: Hashable) -> Choice:
        plan = self._plans.get(shape) or self._plan(shape)
        plan.used, times = now, plan.times
        rows = min(waiting_rows, max_rows)
        if rows > plan.most:
            # one class more than was seen: a guess that is wrong then costs little
            rows, reason = plan.most, "learning"
        else:
            reason = "full" if waiting_rows >= max_rows else "idle"
        slack = self._budget - (now - oldest)
        if rows > plan.floor and times.tail(rows) > slack:
            less = max(plan.floor, self._within(times, rows, slack))
            if less < rows and self._helps(plan, rows, less, now - oldest):
                rows, reason = less, "target"
        for size in plan.steps:
            if size < rows and times.knows(rows) and size * times.expect(rows) > _STEP * rows * times.expect(size):
                rows, reason = size, "step"
        if reason == "idle" and self._worst < _CALM * self._budget:
            until = self._gathering.until(now, rows, max_rows, times, slack)
            if until:
                return Choice(0, until, "gather")
        self._oldest = oldest
        return Choice(rows, 0, reason)

    def observe(self, now: int, rows: int, shape: Hashable, run_ns: int) -> None:
        plan = self._plans.get(shape) or self._plan(shape)
        new = plan.times.add(rows, run_ns)
        self._gathering.ran(now, rows, run_ns)
        self._worst = max(now - self._oldest, self._worst * _FORGET)
        if new or len(plan.times) >= plan.due:
            self._work_out(plan)
            self.least = max(min(plan.floor, plan.times.largest) // 2, 1)

    def describe(self) -> dict[str, Any]:
        """What it has learned and what it does, for people: times in ms."""
        return {
            "target_ms": self.target_ns / 1e6,
            "gathering": self._gathering.describe(),
            "shapes": [
                {
                    "shape": str(shape),
                    "batches": len(plan.times),
                    "fixed_ms": plan.times.fixed / 1e6,
                    "per_row_ms": plan.times.per_row / 1e6,
                    "tail_factor": plan.times.tail_factor,
                    "rows_at_least": plan.floor,
                    "steps": plan.steps,
                }
                for shape, plan in self._plans.items()
            ],
        }

    def _within(self, times: RunTimes, rows: int, slack: float) -> int:
        """The largest size below `rows` whose run is over in time, 0 if none is."""
        number = size_class(rows) - 1
        while number >= 0 and times.tail(class_end(number)) > slack:
            number -= 1
        return class_end(number) if number >= 0 else 0

    def _helps(self, plan: _Plan, rows: int, less: int, age: int) -> bool:
        """Whether fewer requests miss the target when only `less` go now and the next batch takes the others."""
        times, share = plan.times, less / rows
        run = times.expect(less)
        left = rows - less + int(rows * run / max(age, 1))  # by then as many come as have come
        after, then = age * (1 - share) + run, min(left, max(plan.floor, less))
        late = self._late(less, age, times.tail(less), age * (1 - share))
        late += self._late(rows - less, after, times.tail(then), run)
        return late < self._late(rows, age, times.tail(rows))

    def _late(self, rows: int, age: float, run: float, youngest: float = 0.0) -> float:
        """How many of so many rows, waiting evenly up to `age`, are late after a run."""
        over = age + run - self._budget
        return rows * min(over / max(age - youngest, 1.0), 1.0) if over > 0 else 0.0

    def _plan(self, shape: Hashable) -> _Plan:
        if len(self._plans) >= MAX_SHAPES:
            del self._plans[min(self._plans, key=lambda known: self._plans[known].used)]
        plan = self._plans[shape] = _Plan()
        return plan

    def _work_out(self, plan: _Plan) -> None:
        times = plan.times
        times.fit()
        plan.due = len(times) + min(_REPLAN, len(times))
        sizes = [class_end(k) for k in range(size_class(times.largest) + 1)]
        fits = [n for n in sizes if _FLOOR * times.tail(n) <= self._budget]
        if not fits:
            fits = [n for n in sizes if times.tail(n) <= self._budget] or sizes
        plan.floor = max(fits, key=lambda n: n / times.expect(n))
        plan.most = class_end(len(sizes))
        larger = class_end(size_class(plan.floor) + 1)
        if not times.knows(larger):
            plan.floor = larger  # nobody knows, or no longer, what more would cost: it is tried before it is judged
        plan.steps = [
            n
            for n, larger in pairwise(sizes)
            if times.knows(n) and times.knows(larger) and n * times.expect(larger) > _STEP * larger * times.expect(n)
        ]
