"""How requests wait."""

from __future__ import annotations

from gantline.serve.policy import QueuePolicy


def test_levels() -> None:
    policy = QueuePolicy(levels=3, default_level=2)
    assert [policy.level(p) for p in (0, 1, 3, 4)] == [2, 1, 3, 2]


def test_the_same_without_stacking() -> None:
    policy = QueuePolicy(64, 7, timeout_ns=5)
    assert policy.unstacked() == QueuePolicy(0, 7, timeout_ns=5)
