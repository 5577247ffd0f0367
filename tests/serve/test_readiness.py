"""Readiness: three conditions, each of which alone says no."""

from __future__ import annotations

from gantline.serve.readiness import Readiness
from gantline.serve.repository import Repository


def test_each_condition_alone_says_no() -> None:
    repository = Repository([])
    readiness = Readiness(repository)
    assert not readiness and repr(readiness) == "<Readiness loaded=False others=True draining=False>"
    repository.ready = True
    assert readiness
    readiness.others = False
    assert not readiness
    readiness.others = True
    readiness.draining = True
    assert not readiness
