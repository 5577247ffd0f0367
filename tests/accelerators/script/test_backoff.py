"""Delays between starts."""

from __future__ import annotations

from gantline.accelerators.script.backoff import FIRST_S, HEALTHY_S, LONGEST_S, Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff()
    delays = [backoff.after(0.0) for _ in range(12)]
    assert delays[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert delays[-1] == LONGEST_S


def test_health_starts_afresh() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1.0)
    assert backoff.after(HEALTHY_S) == FIRST_S
    assert repr(backoff) == f"<Backoff next={2 * FIRST_S}>"


def test_a_life_shorter_than_the_last_delay_is_no_health() -> None:
    backoff = Backoff()
    for _ in range(12):
        backoff.after(0.0)
    assert backoff.after(HEALTHY_S + 1) == LONGEST_S
    assert backoff.after(LONGEST_S) == FIRST_S
