"""Overlap: when the next batch begins before the last one's answers are written; what that does to closed loops."""

from __future__ import annotations

import heapq

import pytest
from gantline.serve.overlap import Overlap

MS = 1_000_000


def learned(fixed_ns: int, written_ns: int) -> Overlap:
    overlap = Overlap(fixed_ns)
    for _ in range(200):
        overlap.wrote(written_ns)
    return overlap


def test_nothing_waits() -> None:
    assert not learned(0, MS).early(0, 8, 64, 20 * MS)


def test_a_queue_as_long_as_the_last_batch_goes_at_once() -> None:
    overlap = learned(10 * MS, 0)
    assert not overlap.early(7, 8, 64, 20 * MS) and overlap.early(8, 8, 64, 20 * MS)
    assert overlap.early(64, 500, 64, 20 * MS), "a batch cannot have more"
    assert overlap.early(1, 1, 0, 20 * MS), "requests that are never stacked"


def test_the_fixed_cost_of_a_run_against_the_time_between_runs() -> None:
    assert learned(3 * MS, 2 * MS).early(1, 60, 64, 20 * MS)
    assert not learned(5 * MS, 2 * MS).early(1, 60, 64, 20 * MS)
    overlap = learned(5 * MS, 2 * MS)
    for _ in range(100):
        overlap.wrote(4 * MS)
    assert overlap.early(1, 60, 64, 20 * MS), "it learns"
    assert not overlap.early(1, 60, 64, 3 * MS), "short runs are not what bounds the rate"


@pytest.mark.parametrize("fixed", [MS // 2, MS, 3 * MS, 10 * MS, 30 * MS])
def test_closed_loops_lose_next_to_nothing_against_the_better_of_both_ways(fixed: int) -> None:
    """64 clients ask again when they are answered. The engine takes `fixed` and 0.1 ms a row; the front writes an
    answer in 0.03 ms, one after the other, and a client's next request comes as much later.
    """
    always, never, chosen = (rate(way, fixed) for way in (True, False, None))
    assert chosen > 0.95 * max(always, never)
    if max(always, never) > 1.2 * min(always, never):
        assert chosen > 1.1 * min(always, never)


def rate(way: bool | None, fixed: int, clients: int = 64, each: int = MS // 10, write: int = 30_000) -> float:
    """Requests a second; `way`: always early, never, or as Overlap says."""
    overlap = Overlap(fixed)
    arrivals = [0] * clients
    now = front = answered = 0  # the front writes up to then
    last = 0
    while answered < 20_000:
        waiting = sum(t <= now for t in arrivals)
        # the engine is free: begin now, or when the last answers are written and read again
        early = overlap.early(waiting, last, 64, fixed + each * last) if way is None else way and waiting > 0
        if not early:
            now = max(now, front + write, arrivals[0] if not waiting else 0)
        batch = [heapq.heappop(arrivals) for _ in range(min(64, sum(t <= now for t in arrivals)))]
        if not batch:
            now = arrivals[0]
            continue
        now += fixed + each * len(batch)
        begun = max(now, front)
        for i in range(len(batch)):
            heapq.heappush(arrivals, begun + (i + 2) * write)
        front = begun + len(batch) * write
        overlap.wrote(len(batch) * write)
        answered, last = answered + len(batch), len(batch)
    return answered / now * 1e9
