"""The roster, with a clock of the test's own."""

from __future__ import annotations

from gantline.accelerators.script.backoff import FIRST_S, LONGEST_S
from gantline.serve.process.roster import ABSENT, JOINED, LEAVING, SERVING, STARTING, Roster

from gantline.errors import BadArtefact, GantlineError


def serving(workers: int) -> Roster:
    roster = Roster(workers)
    for n in range(1, workers + 1):
        roster.starts(n)
        roster.joins(n)
        roster.serves(n, 0.0)
    return roster


def test_ready_when_all_are_and_then_while_any_is() -> None:
    roster = Roster(2)
    assert roster.phase(1) == ABSENT and not roster.ready
    for n in (1, 2):
        roster.starts(n)
        assert roster.phase(n) == STARTING
        roster.joins(n)
        assert roster.phase(n) == JOINED and not roster.ready
        assert roster.serves(n, 1.0) is (n == 2)
    assert roster.ready and roster.complete
    assert roster.ended(1, 100.0, None, "signal SIGKILL") == FIRST_S
    assert roster.ready
    roster.starts(1)
    roster.joins(1)
    assert roster.serves(1, 101.0) is False
    for n in (1, 2):
        assert roster.ended(n, 200.0, None, "signal SIGKILL") == FIRST_S
    assert not roster.ready and roster.complete


def test_one_that_leaves_serves_no_more_and_has_lived() -> None:
    roster = serving(2)
    roster.leaves(1)
    assert roster.phase(1) == LEAVING and roster.ready
    assert roster.ended(1, 100.0, None, "exit status 0") == FIRST_S
    roster.leaves(2)
    assert not roster.ready


def test_a_start_that_fails_ends_the_server() -> None:
    roster = Roster(2)
    roster.starts(1)
    error = roster.ended(1, 1.0, None, "signal SIGSEGV")
    assert isinstance(error, GantlineError) and "worker 1 ended while it started (signal SIGSEGV)" in error.message
    said = BadArtefact("m.onnx: torn")
    roster.starts(2)
    roster.joins(2)
    assert roster.ended(2, 1.0, said, "exit status 0") is said


def test_a_later_failure_ends_it_only_when_nobody_else_serves() -> None:
    roster, said = serving(2), BadArtefact("m.onnx: gone")
    assert roster.ended(1, 50.0, None, "signal SIGKILL") == FIRST_S
    roster.starts(1)
    assert roster.ended(1, 50.5, said, "exit status 0") == FIRST_S * 2
    assert roster.ended(2, 51.0, None, "signal SIGKILL") == FIRST_S
    roster.starts(1)
    assert roster.ended(1, 52.0, said, "exit status 0") is said


def test_who_dies_young_waits_longer_each_time() -> None:
    roster, now, delays = serving(1), 1.0, []
    for _ in range(12):
        delay = roster.ended(1, now, None, "signal SIGKILL")
        assert isinstance(delay, float)
        delays.append(delay)
        now += delay
        roster.starts(1)
        roster.joins(1)
        roster.serves(1, now)
        now += 1.0
    assert delays == sorted(delays) and delays[0] == FIRST_S and delays[-1] == LONGEST_S
    assert roster.ended(1, now + 1000.0, None, "signal SIGKILL") == FIRST_S
    assert "absent" in repr(roster) and roster.phase(1) != SERVING
