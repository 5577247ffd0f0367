"""Admission, simulated: three times what an engine can do, and what is admitted is answered in time; bytes, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from gantline.serve.admission import MAX_RETRY_S, Admission, ByteBudget
from gantline.serve.pace import Greedy, Pace
from gantline.serve.slo import Slo

from gantline.errors import Overloaded

from .engine_simulation import MS, SECOND, Cost, noise, steps

MOST = 16384


@dataclass
class Outcome:
    arrived: np.ndarray[tuple[int], np.dtype[np.int64]]
    latency: np.ndarray[tuple[int], np.dtype[np.int64]]
    refused: list[int]
    longest: int  # queue

    def goodput(self, target_ns: int, begin_s: float, end_s: float) -> float:
        """Answers within the target a second, to requests that came in that time."""
        there = (self.arrived >= begin_s * SECOND) & (self.arrived < end_s * SECOND)
        return float((there & (self.latency <= target_ns)).sum()) / (end_s - begin_s)

    def p99(self, begin_s: float, end_s: float) -> float:
        there = (self.arrived >= begin_s * SECOND) & (self.arrived < end_s * SECOND)
        return float(np.percentile(self.latency[there], 99))


def serve(pace: Pace, admission: Admission, arrivals: Iterator[int], cost: Cost, max_rows: int = 64) -> Outcome:
    """One engine; a request that may not wait is gone."""
    queue: deque[int] = deque()
    arrived: list[int] = []
    answered: list[int] = []
    refused: list[int] = []
    factor, now, longest = noise(1), 0, 0
    upcoming = next(arrivals, None)

    def enter(until: int) -> None:
        nonlocal upcoming
        while upcoming is not None and upcoming <= until:
            if queue and len(queue) + 1 > admission.limit:
                refused.append(upcoming)
            else:
                queue.append(upcoming)
            upcoming = next(arrivals, None)

    while queue or upcoming is not None:
        if not queue:
            assert upcoming is not None
            now = max(now, upcoming)
            enter(now)
        longest = max(longest, len(queue))
        choice = pace.choose(now, len(queue), queue[0], max_rows, None)
        if not choice.rows:
            now = choice.until if upcoming is None else min(choice.until, upcoming)
            enter(now)
            continue
        there = len(queue)
        batch = [queue.popleft() for _ in range(min(choice.rows, there))]
        run_ns = int(cost(len(batch)) * next(factor))
        now += run_ns
        enter(now)
        arrived += batch
        answered += [now] * len(batch)
        pace.observe(now, len(batch), None, run_ns)
        limited = there > len(batch) and choice.reason != "learning"
        admission.observe(now, len(batch), batch[0], len(queue), limited, pace.least)
        while admission.target_ns and len(queue) > 2 * admission.limit:  # as Batcher.shed
            refused += [queue.popleft() for _ in range(len(queue) - admission.limit)]
    came = np.array(arrived, np.int64)
    return Outcome(came, np.array(answered, np.int64) - came, refused, longest)


def linear(rows: int) -> float:
    return (1.5 + 0.15 * rows) * MS


def proportional(rows: int) -> float:
    return (0.2 + 0.5 * rows) * MS


def stepped(rows: int) -> float:
    return (1 + 2 * -(-rows // 16)) * MS


# capacity: see test_slo.py
@pytest.mark.parametrize(
    ("cost", "target_ms", "capacity"),
    [(linear, 9.8, 3600), (linear, 40, 5700), (proportional, 20.5, 1700), (stepped, 12.0, 5300), (stepped, 30, 7000)],
)
def test_at_three_times_capacity_what_is_admitted_is_answered_in_time(
    cost: Cost, target_ms: float, capacity: float
) -> None:
    target = int(target_ms * MS)
    admission = Admission(MOST, target)
    rates = [0.5 * capacity, 3 * capacity, 0.5 * capacity]
    out = serve(Slo(target), admission, steps(rates, 15, 5), cost)
    assert out.goodput(target, 15, 30) >= 0.9 * capacity
    assert out.p99(15, 30) <= target
    assert out.longest < 3 * capacity * target / SECOND + 64
    # before nobody was refused, and afterwards it is as before
    assert [t for t in out.refused if not 15 * SECOND < t < 30.5 * SECOND] == []
    assert out.p99(31, 45) == pytest.approx(out.p99(5, 15), rel=0.2)


def test_without_a_target_only_a_queue_beyond_all_patience_is_refused() -> None:
    admission = Admission(MOST, max_wait_ns=2 * SECOND)
    out = serve(Greedy(), admission, steps([5000, 9000, 5000], 10, 5), linear)  # it can do 5770
    assert out.p99(0, 10) < 0.1 * SECOND
    assert 1.8 * SECOND < out.latency.max() < 2.3 * SECOND
    assert len(out.arrived) / 30 > 5500  # no time was lost
    assert [t for t in out.refused if not 10 * SECOND < t < 21 * SECOND] == []


def test_a_burst_onto_a_server_that_has_seen_nothing_is_taken() -> None:
    burst = iter(range(4000))
    out = serve(Greedy(), Admission(MOST, max_wait_ns=30 * SECOND), burst, linear)
    assert out.refused == [] and len(out.arrived) == 4000


def test_small_batches_do_not_tell_how_fast_large_ones_go() -> None:
    # four clients that wait for their answers: every batch is small, and something waits when it ends
    admission = Admission(MOST, max_wait_ns=30 * SECOND)
    for i in range(1000):
        admission.observe(i * 2 * MS, 2, (i - 1) * 2 * MS, 2, limited=False, least=1)
    assert admission.turn(1000) == 0 and admission.limit == MOST  # not known
    for i in range(1000, 1100):
        admission.observe(i * 10 * MS, 64, 0, 500, limited=True, least=1)
    assert admission.turn(640) == pytest.approx(0.1 * SECOND, rel=0.01)
    assert repr(admission) == "<Admission 16384 rows, 6400 rows/s>"


def test_one_slow_run_does_not_close_the_door() -> None:
    target = 20 * MS
    admission = Admission(MOST, target)
    for i in range(100):
        took = 200 * MS if i == 50 else 5 * MS
        admission.observe(i * 5 * MS, 8, i * 5 * MS - took, 4, limited=False, least=1)
    assert admission.limit == MOST


def test_a_machine_that_stalls_now_and_then_is_not_given_less_to_do() -> None:
    target = 100 * MS
    admission = Admission(MOST, target)
    for i in range(2000):  # five queries in six take 60 ms, one three times the target
        took = 300 * MS if i % 6 == 0 else 60 * MS
        admission.observe(i * 20 * MS, 16, i * 20 * MS - took, 60, limited=True, least=8)
    assert admission.limit == MOST
    for i in range(2000, 2010):
        admission.observe(i * 20 * MS, 16, i * 20 * MS - 300 * MS, 60, limited=True, least=8)
    assert admission.limit < 100
    for i in range(2010, 4000):
        took = 300 * MS if i % 6 == 0 else 50 * MS
        admission.observe(i * 20 * MS, 16, i * 20 * MS - took, 60, limited=True, least=8)
    assert admission.limit > 60


def test_when_to_try_again() -> None:
    admission = Admission(MOST)
    assert admission.retry_after_s(10) == 1.0
    for i in range(1, 50):
        admission.observe(i * SECOND, 10, 0, 100, limited=True, least=1)
    assert admission.retry_after_s(45) == pytest.approx(4.5)
    assert admission.retry_after_s(10**6) == MAX_RETRY_S


def test_a_budget_of_bytes() -> None:
    budget = ByteBudget(100)
    large = budget.hold(1000)  # alone
    with pytest.raises(Overloaded, match="waiting already") as caught:
        budget.hold(1)
    assert (caught.value.reason, caught.value.retry_after_s) == ("bytes", 1.0)
    large.free()
    large.free()
    assert budget.held == 0
    holds = [budget.hold(25) for _ in range(4)]
    with pytest.raises(Overloaded):
        budget.hold(1)
    holds[0].free()
    assert repr(budget) == "<ByteBudget 75/100>"
