"""Overlap: when the next batch begins before the last one's answers are written; what that does to closed loops."""

from __future__ import annotations

import heapq

import pytest
from gantline.serve.overlap import Overlap

MS = 1_000_000


def learned(fixed_ns: int, written_ns: int, each_ns: int = MS // 10) -> Overlap:
    """Of a model that takes `fixed_ns` and `each_ns` a row, and `written_ns` to write the answers of 64 rows."""
    overlap = Overlap(fixed_ns)
    for rows in (1, 2, 4, 8, 16, 32, 64) * 30:
        overlap.ran(rows, fixed_ns + rows * each_ns)
        overlap.wrote(64, written_ns)
    return overlap


def early(overlap: Overlap, waiting: int, last: int, most: int, run_ns: int) -> bool:
    return overlap.early(waiting, last, most, run_ns, last)


def test_nothing_waits() -> None:
    assert not early(learned(0, MS), 0, 8, 64, 20 * MS)


def test_a_queue_as_long_as_the_last_batch_goes_at_once() -> None:
    overlap = learned(10 * MS, 0)
    assert not early(overlap, 7, 8, 64, 20 * MS) and early(overlap, 8, 8, 64, 20 * MS)
    assert early(overlap, 64, 500, 64, 20 * MS), "a batch cannot have more"
    assert early(overlap, 1, 1, 0, 20 * MS), "requests that are never stacked"


def test_the_fixed_cost_of_a_run_against_the_time_between_runs() -> None:
    assert early(learned(3 * MS, 2 * MS), 1, 63, 64, 20 * MS)
    assert not early(learned(5 * MS, 2 * MS), 1, 63, 64, 20 * MS)
    overlap = learned(5 * MS, 2 * MS)
    for _ in range(100):
        overlap.wrote(64, 4 * MS)
    assert early(overlap, 1, 63, 64, 20 * MS), "it learns"
    assert not early(overlap, 1, 63, 64, 3 * MS), "short runs are not what bounds the rate"
    assert not overlap.early(33, 40, 64, 20 * MS, 30), "nor is there so much to gain when half is written"


def test_what_a_run_costs_is_not_what_one_row_costs() -> None:
    """A model whose weights do not fit into a cache: one row takes as long as eight."""
    overlap = Overlap(2 * MS)
    for rows in (1, 8, 16, 32, 64) * 30:
        overlap.ran(rows, max(2 * MS, rows * MS // 8))
        overlap.wrote(64, MS // 2)
    assert early(overlap, 31, 33, 64, 8 * MS), "two runs of 32 take as long as one of 64"
    assert not early(overlap, 4, 60, 64, 8 * MS), "but one of four takes longer than four rows more"


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
        begins = early(overlap, waiting, last, 64, fixed + each * last) if way is None else way and waiting > 0
        if not begins:
            now = max(now, front + write, arrivals[0] if not waiting else 0)
        batch = [heapq.heappop(arrivals) for _ in range(min(64, sum(t <= now for t in arrivals)))]
        if not batch:
            now = arrivals[0]
            continue
        now += fixed + each * len(batch)
        overlap.ran(len(batch), fixed + each * len(batch))
        begun = max(now, front)
        for i in range(len(batch)):
            heapq.heappush(arrivals, begun + (i + 2) * write)
        front = begun + len(batch) * write
        overlap.wrote(len(batch), len(batch) * write)
        answered, last = answered + len(batch), len(batch)
    return answered / now * 1e9
