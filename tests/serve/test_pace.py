"""Pace, simulated: greedy takes what waits, delayed waits as Triton's dynamic batcher does."""

from __future__ import annotations

import pytest
from gantline.serve.pace import Choice, Delayed, Greedy

MS = 1_000_000


def test_greedy_never_waits_and_says_whether_the_batch_is_full() -> None:
    pace = Greedy()
    pace.observe(0, 4, None, MS)
    assert pace.choose(5, 1, 5, 8, None) == Choice(8, 0, "idle")
    assert pace.choose(5, 8, 5, 8, None) == Choice(8, 0, "full")
    assert pace.choose(5, 300, 5, 1, "other") == Choice(1, 0, "full")


@pytest.mark.parametrize(
    ("waiting", "age_ms", "expected"),
    [
        (1, 0, Choice(0, 12 * MS, "waiting")),
        (3, 1.9, Choice(0, int(10.1 * MS), "waiting")),  # until the oldest has waited two milliseconds
        (4, 0, Choice(4, 0, "preferred")),
        (7, 0, Choice(4, 0, "preferred")),  # the other three wait on
        (8, 0, Choice(8, 0, "preferred")),
        (50, 0, Choice(8, 0, "preferred")),
        (3, 2, Choice(16, 0, "delay")),
        (50, 9, Choice(16, 0, "delay")),  # as many as fit, whatever is preferred
    ],
)
def test_delayed_waits_for_a_preferred_size_until_the_delay_runs_out(
    waiting: int, age_ms: float, expected: Choice
) -> None:
    pace = Delayed(2 * MS, preferred=(8, 4))
    now = 10 * MS
    assert pace.choose(now, waiting, now - int(age_ms * MS), 16, None) == expected


def test_delayed_without_preferred_sizes_waits_for_the_largest_batch() -> None:
    pace = Delayed(2 * MS)
    assert pace.choose(0, 15, 0, 16, None) == Choice(0, 2 * MS, "waiting")
    assert pace.choose(0, 16, 0, 16, None) == Choice(16, 0, "full")


def test_without_a_delay_nothing_waits_and_a_preferred_size_goes_alone() -> None:
    pace = Delayed(0, preferred=(4,))
    pace.observe(0, 4, None, MS)
    assert pace.choose(9 * MS, 3, 0, 16, None) == Choice(16, 0, "idle")
    assert pace.choose(9 * MS, 9, 0, 16, None) == Choice(4, 0, "preferred")


def test_a_preferred_size_that_does_not_fit_is_never_waited_for_beyond_what_fits() -> None:
    assert Delayed(2 * MS, preferred=(64,)).choose(0, 16, 0, 16, None) == Choice(16, 0, "full")
