"""Parallel: as many at once as said; the first failure ends the others and is the one that is raised."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gantline.errors import NotFound
from gantline.oci.connections import Stopped
from gantline.oci.parallel import in_parallel


def test_all_run_and_so_many_at_once() -> None:
    gate = threading.Barrier(3, timeout=20)  # holds unless three are there together
    done: list[int] = []

    def task(n: int) -> Callable[[], None]:
        def run() -> None:
            gate.wait()
            done.append(n)

        return run

    in_parallel(3, [task(n) for n in range(6)], lambda: None)
    assert sorted(done) == list(range(6))


def test_the_first_failure_ends_the_others() -> None:
    stopped = threading.Event()
    begun: list[int] = []

    def fails() -> None:
        raise NotFound("the reason")

    def waits() -> None:
        begun.append(1)
        assert stopped.wait(20)
        raise Stopped

    with pytest.raises(NotFound, match="the reason"):
        in_parallel(2, [waits, fails, *[waits] * 50], stopped.set)
    assert len(begun) < 10  # those that had not begun never do


def test_nothing_to_do() -> None:
    in_parallel(4, [], lambda: None)
