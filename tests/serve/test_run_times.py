"""Run times, learned from samples that are made: a line, its steps, its tail; outliers and changes of pace."""

from __future__ import annotations

import numpy as np
import pytest
from gantline.serve.run_times import RunTimes, class_end, size_class

from .engine_simulation import MS, Cost, noise


def learn(times: RunTimes, cost: Cost, sizes: list[int], seed: int = 1, sigma: float = 0.05) -> RunTimes:
    factor = noise(seed, sigma, outliers=0.002, factor=10.0)
    for rows in sizes:
        times.add(rows, int(cost(rows) * next(factor)))
    times.fit()
    return times


def line(rows: int) -> float:
    return (2 + 0.1 * rows) * MS


def sizes(count: int, largest: int, seed: int = 2) -> list[int]:
    return [int(n) for n in np.random.default_rng(seed).integers(1, largest + 1, count)]


def test_classes_are_two_for_each_doubling() -> None:
    assert [class_end(k) for k in range(12)] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
    for rows in range(1, 2000):
        k = size_class(rows)
        assert class_end(k) >= rows > (class_end(k - 1) if k else 0)


def test_a_line_is_found_through_noise_and_outliers() -> None:
    times = learn(RunTimes(), line, sizes(400, 32))
    assert times.fixed == pytest.approx(2 * MS, rel=0.1)
    assert times.per_row == pytest.approx(0.1 * MS, rel=0.1)
    for rows in (1, 5, 17, 32, 64):  # the last was never seen
        assert times.expect(rows) == pytest.approx(line(rows), rel=0.1)
    assert times.largest == 32
    assert times.knows(32) and not times.knows(64)


def test_with_one_size_seen_larger_ones_are_expected_to_cost_in_proportion() -> None:
    times = RunTimes()
    assert times.add(4, 4 * MS) and not times.add(4, 4 * MS)  # the first of its class, and not
    assert times.expect(8) == pytest.approx(8 * MS)
    assert len(times) == 2


def test_a_jump_in_the_cost_is_seen_where_it_is() -> None:
    def jump(rows: int) -> float:
        return (2 if rows <= 16 else 6) * MS

    times = learn(RunTimes(), jump, sizes(600, 32))
    assert times.expect(16) == pytest.approx(2 * MS, rel=0.1)
    assert times.expect(17) == pytest.approx(6 * MS, rel=0.15)


def test_within_a_class_the_cost_may_rise_as_it_likes() -> None:
    def beyond_the_cache(rows: int) -> float:
        return (2 + 0.05 * rows + 0.3 * max(rows - 32, 0)) * MS

    times = learn(RunTimes(), beyond_the_cache, [33 + i % 16 if i % 2 else 1 + i % 32 for i in range(2000)])
    for rows in (32, 34, 40, 48):
        assert times.expect(rows) == pytest.approx(beyond_the_cache(rows), rel=0.15)


@pytest.mark.parametrize("sigma", [0.02, 0.2])
def test_the_tail_covers_most_runs_and_outliers_do_not_stretch_it(sigma: float) -> None:
    times = learn(RunTimes(), line, sizes(4000, 32), sigma=sigma)
    assert times.tail_factor == pytest.approx(np.exp(1.64 * sigma), rel=0.1)


@pytest.mark.parametrize("change", [0.4, 3.0])
def test_when_the_machine_changes_pace_all_sizes_follow_within_a_few_batches(change: float) -> None:
    times = learn(RunTimes(), line, sizes(400, 32))
    learn(times, lambda rows: change * line(rows), [8] * 40, seed=3)
    for rows in (1, 8, 32):
        assert times.expect(rows) == pytest.approx(change * line(rows), rel=0.4)
    learn(times, lambda rows: change * line(rows), sizes(400, 32), seed=4)
    assert times.expect(32) == pytest.approx(change * line(32), rel=0.1)


def test_one_run_that_takes_a_hundred_times_as_long_moves_little() -> None:
    times = learn(RunTimes(), line, sizes(400, 32))
    before = times.expect(8)
    times.add(8, 280 * MS)
    assert times.expect(8) < 1.15 * before


def test_neither_the_fixed_part_nor_that_of_a_row_becomes_negative() -> None:
    assert learn(RunTimes(), lambda rows: rows * rows * MS, sizes(400, 32)).fixed == 0
    falling = learn(RunTimes(), lambda rows: (10 - 0.2 * rows) * MS, sizes(400, 32))
    assert falling.per_row == 0
    assert "ms a row" in repr(falling)


def test_in_a_storm_of_disturbances_no_size_is_lost() -> None:
    # half of all runs are held up, by anything from nothing to ten times
    random = np.random.default_rng(5)
    times = RunTimes()
    for rows in sizes(20_000, 16):
        held = random.uniform(1, 10) if random.random() < 0.5 else 1.0
        times.add(rows, int(line(rows) * held))
        times.fit()
    for rows in (1, 8, 16):
        assert line(rows) <= times.expect(rows) <= 5 * line(rows)
    assert times.expect(16) > times.expect(1)


def test_a_batch_without_rows_says_nothing() -> None:
    times = RunTimes()
    assert times.add(0, 5 * MS) is False and len(times) == 0, "the first of all, too"
    assert times.add(2, 4 * MS) is True and times.expect(2) == 4 * MS
    assert times.add(0, 90 * MS) is False and times.expect(2) == 4 * MS
