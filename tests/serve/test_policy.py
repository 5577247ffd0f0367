"""How requests wait."""

from __future__ import annotations

from gantline.serve.policy import LevelPolicy, QueuePolicy


def test_levels() -> None:
    policy = QueuePolicy(levels=3, default_level=2)
    assert [policy.level(p) for p in (0, 1, 3, 4)] == [2, 1, 3, 2]


def test_the_same_without_stacking() -> None:
    policy = QueuePolicy(64, 7, timeout_ns=5)
    assert policy.unstacked() == QueuePolicy(0, 7, timeout_ns=5)


def test_levels_with_rules_of_their_own() -> None:
    urgent, patient = LevelPolicy(5), LevelPolicy(7, demote=True)
    policy = QueuePolicy(levels=3, default_level=2, timeout_ns=9, own={1: urgent, 3: patient})
    assert policy.at(0) is policy.at(2) is policy.at(99) is policy
    assert (policy.at(1), policy.at(3)) == (urgent, patient) and policy.patience == {3: 7}
    assert QueuePolicy(levels=2, default_level=1, timeout_ns=9, demote=True).patience == {1: 9, 2: 9}
    assert QueuePolicy(timeout_ns=9).patience == QueuePolicy(demote=True).patience == {}
