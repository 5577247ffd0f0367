"""The pulse, with time that the test lets pass."""

from __future__ import annotations

from gantline.serve.process.pulse import SILENT_S, START_S, TICK_S, Pulse


def ticks(pulse: Pulse, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        pulse.tick(TICK_S)


def heard() -> Pulse:
    pulse = Pulse()
    assert pulse.tick(TICK_S)
    pulse.answered()
    return pulse


def test_one_heartbeat_at_a_time() -> None:
    pulse = heard()
    assert pulse.tick(TICK_S) and not pulse.tick(TICK_S) and not pulse.tick(TICK_S)
    assert pulse.silent_s == 2 * TICK_S
    pulse.answered()
    assert pulse.silent_s == 0 and pulse.tick(TICK_S)
    assert "silent_s=0" in repr(pulse)


def test_silent_then_hanging() -> None:
    pulse = heard()
    pulse.tick(TICK_S)
    ticks(pulse, SILENT_S - TICK_S)
    assert not pulse.silent
    ticks(pulse, TICK_S)
    assert pulse.silent and not pulse.hangs(30.0) and pulse.hangs(SILENT_S)
    ticks(pulse, 30.0 - SILENT_S)
    assert pulse.hangs(30.0) and not pulse.hangs(0.0)
    pulse.answered()
    assert not pulse.silent and not pulse.hangs(1.0)


def test_time_in_which_the_supervisor_itself_stood_still_does_not_count() -> None:
    pulse = heard()
    pulse.tick(TICK_S)
    for _ in range(3):  # of ten minutes each: the machine was suspended
        pulse.tick(600.0)
    assert pulse.silent_s == 6 * TICK_S and not pulse.hangs(30.0)


def test_a_process_that_was_never_heard_has_longer() -> None:
    pulse = Pulse()
    pulse.tick(TICK_S)
    ticks(pulse, START_S - TICK_S)
    assert pulse.silent and not pulse.hangs(1.0)
    ticks(pulse, TICK_S)
    assert pulse.hangs(1.0) and not pulse.hangs(2 * START_S)


def test_whatever_a_process_says_is_a_sign_of_life() -> None:
    """It may stop before the first heartbeat reaches it, and has imported its libraries all the same."""
    pulse = Pulse()
    pulse.tick(TICK_S)
    ticks(pulse, SILENT_S)
    pulse.heard()
    assert not pulse.silent and not pulse.tick(TICK_S), "the heartbeat is still unanswered"
    ticks(pulse, SILENT_S)
    assert pulse.silent and pulse.hangs(SILENT_S)
