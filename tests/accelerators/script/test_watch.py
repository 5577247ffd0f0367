"""The alarm; memory and death are tried with real hosts."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from gantline.accelerators.script.watch import Alarm, OutOfTime


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def loop_for(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_long_block_is_ended_and_a_script_cannot_swallow_it() -> None:
    alarm = Alarm(0.1)
    with pytest.raises(OutOfTime), alarm:
        try:
            loop_for(20)
        except Exception:
            pytest.fail("it is not an Exception")


def test_one_timer_serves_many_blocks() -> None:
    alarm = Alarm(0.6)
    with alarm:
        pass
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.6
    while signal.getitimer(signal.ITIMER_REAL)[0] > 0.1:
        pass
    with alarm:  # the timer of the first fires in this one, and is set again for what it has left
        while signal.getitimer(signal.ITIMER_REAL)[0] <= 0.1:
            pass
    with pytest.raises(OutOfTime), alarm:
        loop_for(20)


def test_an_idle_alarm_does_nothing() -> None:
    alarm = Alarm(0.05)
    with alarm:
        pass
    loop_for(0.15)
    with pytest.raises(OutOfTime), alarm:
        loop_for(20)
