"""One engine and its queue, simulated: arrivals and run times from a seed, a pace that decides, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from gantline.serve.pace import Pace

MS = 1_000_000
SECOND = 1_000_000_000
Cost = Callable[[int], float]  # rows -> mean run time, ns


@dataclass
class Run:
    """What came of it: for each request when it arrived and when it was answered, and the sizes of the batches."""

    arrived: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    waited: int = 0  # batches that did not go at once

    def windows(self, target_ns: int, end_s: int, begin_s: int = 0) -> float:
        """The share of one-second windows (by arrival) whose p99 meets the target; an unanswered one misses it."""
        arrived = np.array(self.arrived)
        answered = np.full(len(arrived), np.iinfo(np.int64).max // 2)
        answered[: len(self.answered)] = self.answered
        latency, second = answered - arrived, arrived // SECOND
        met = [
            float(np.percentile(latency[second == s], 99)) <= target_ns
            for s in range(begin_s, end_s)
            if (second == s).any()
        ]
        return sum(met) / len(met)

    def rate(self, end_s: int) -> float:
        """Requests answered a second."""
        return sum(t <= end_s * SECOND for t in self.answered) / end_s


def steps(rates: list[float], each_s: float, seed: int) -> Iterator[int]:
    """Poisson arrivals at each of these rates a second in turn."""
    random = np.random.default_rng(seed)
    at = 0.0
    for rate in rates:
        end = at + each_s * SECOND
        while True:
            gaps = random.exponential(SECOND / rate, 1024)
            times = at + np.cumsum(gaps)
            yield from (int(t) for t in times[times < end])
            if times[-1] >= end:
                break
            at = float(times[-1])
        at = end


def noise(seed: int, sigma: float = 0.05, outliers: float = 1e-5, factor: float = 5.0) -> Iterator[float]:
    """Factors around 1: log-normal, now and then one that is far off."""
    random = np.random.default_rng(seed)
    while True:
        values = np.exp(random.normal(0, sigma, 4096))
        values[random.random(4096) < outliers] *= factor
        yield from values.tolist()


def open_loop(
    pace: Pace, arrivals: Iterator[int], cost: Callable[[int, int], float], max_rows: int, seed: int = 1
) -> Run:
    """Requests of one row that come whatever happens. `cost`: (now, rows) -> mean run time in ns."""
    run, factor = Run(), noise(seed)
    now, taken, asked = 0, 0, 0
    upcoming = next(arrivals, None)
    while True:
        while upcoming is not None and upcoming <= now:
            run.arrived.append(upcoming)
            upcoming = next(arrivals, None)
        waiting = len(run.arrived) - taken
        if not waiting:
            if upcoming is None:
                return run
            now = upcoming
            continue
        choice = pace.choose(now, waiting, run.arrived[taken], max_rows, None)
        if not choice.rows:
            assert choice.until > now, choice
            now = choice.until if upcoming is None else min(choice.until, upcoming)
            asked = 1
            continue
        rows = min(choice.rows, waiting, max_rows)
        ran = int(cost(now, rows) * next(factor))
        now += ran
        taken += rows
        run.sizes.append(rows)
        run.waited += asked
        asked = 0
        run.answered.extend([now] * rows)
        pace.observe(now, rows, None, ran)


def closed_loop(
    pace: Pace, clients: Callable[[int], int], cost: Cost, max_rows: int, end_s: float, think_ns: float = 0.2 * MS,
    seed: int = 1,
) -> Run:  # fmt: skip
    """Clients that ask again a little after each answer. `clients`: now -> how many there are."""
    random, factor = np.random.default_rng(seed), noise(seed + 1)
    run = Run()
    now, end, asked = 0, int(end_s * SECOND), 0
    coming: list[int] = sorted(int(random.exponential(think_ns)) for _ in range(clients(0)))
    queue: list[int] = []
    there = len(coming)
    while now < end:
        while coming and coming[0] <= now:
            queue.append(coming.pop(0))
        if not queue:
            now = coming[0]
            continue
        choice = pace.choose(now, len(queue), queue[0], max_rows, None)
        if not choice.rows:
            assert choice.until > now, choice
            asked = 1
            now = min(choice.until, coming[0]) if coming else choice.until
            continue
        rows = min(choice.rows, len(queue), max_rows)
        ran = int(cost(rows) * next(factor))
        now += ran
        run.arrived.extend(queue[:rows])
        run.answered.extend([now] * rows)
        run.sizes.append(rows)
        run.waited += asked
        asked = 0
        del queue[:rows]
        pace.observe(now, rows, None, ran)
        again = rows + clients(now) - there
        there = clients(now)
        coming.extend(now + int(random.exponential(think_ns)) for _ in range(max(again, 0)))
        coming.sort()
    return run
