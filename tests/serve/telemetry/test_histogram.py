"""Durations counted, in the bucket where they belong, without losing one."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from gantline.serve.telemetry.histogram import BOUNDS, Histogram, quantile
from hypothesis import given, settings
from hypothesis import strategies as st

durations = st.lists(st.integers(0, 10**12), max_size=50)


def test_bounds_are_spaced_evenly_enough() -> None:
    assert BOUNDS[0] == 1000 and BOUNDS[-1] == 70 * 10**9
    assert all(1.3 < b / a < 1.7 for a, b in pairwise(BOUNDS))


@settings(deadline=None)
@given(durations, durations)
def test_each_duration_is_in_the_first_bucket_that_has_room(some: list[int], more: list[int]) -> None:
    histogram = Histogram()
    for ns in some:
        histogram.observe(ns)
    assert histogram.to_json()["sum"] == sum(some)  # counted in two goes, as in one
    for ns in more:
        histogram.observe(ns)
    counts = [0] * (len(BOUNDS) + 1)
    for ns in some + more:
        counts[bisect_left(BOUNDS, ns)] += 1
    found = histogram.to_json()["counts"]
    assert found + [0] * (len(counts) - len(found)) == counts and (not found or found[-1])
    assert (histogram.count, histogram.total_ns) == (len(some + more), sum(some + more))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 64)), max_size=20))
def test_the_same_duration_several_times(batches: list[tuple[int, int]]) -> None:
    one, other = Histogram(), Histogram()
    for ns, times in batches:
        one.add(ns, times)
        for _ in range(times):
            other.observe(ns)
    assert one.to_json() == other.to_json()


def test_what_waits_to_be_counted_is_gone_once_it_is() -> None:
    histogram = Histogram()
    for _ in range(1000):
        histogram.observe(5)
    histogram.settle()
    assert histogram._pending == []
    assert repr(histogram) == "<Histogram 1000 in 5000 ns>"


@settings(deadline=None)
@given(durations.filter(bool), st.floats(0.01, 1))
def test_a_quantile_is_in_the_bucket_of_the_true_one(some: list[int], q: float) -> None:
    histogram = Histogram()
    for ns in some:
        histogram.observe(ns)
    rank = next(k for k in range(1, len(some) + 1) if k >= q * len(some))
    true = bisect_left(BOUNDS, sorted(some)[rank - 1])
    found = quantile(histogram.to_json()["counts"], q)
    low = BOUNDS[true - 1] if true else 0
    high = BOUNDS[min(true, len(BOUNDS) - 1)]
    assert low <= found <= high


def test_there_is_no_quantile_of_nothing() -> None:
    assert quantile([], 0.5) == 0
