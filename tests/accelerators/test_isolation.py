"""Halving a failing batch until only the guilty are left to fail."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from gantline.accelerators.isolation import run_apart


@pytest.mark.parametrize("guilty", [(), (0,), (63,), (17, 18), tuple(range(64))])
def test_only_the_guilty_pay(guilty: tuple[int, ...]) -> None:
    runs: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        runs.append(len(items))
        if any(i in guilty for i in items):
            raise ValueError(f"{len(items)} items")
        return [i * i for i in items]

    found = run_apart(range(64), run, str)
    assert found == ["1 items" if i in guilty else i * i for i in range(64)]
    assert len(runs) == {0: 1, 1: 13, 2: 15, 64: 127}[len(guilty)]


def test_one_alone_runs_once() -> None:
    runs = []

    def run(items: Sequence[str]) -> list[str]:
        runs.append(items)
        raise RuntimeError(items[0])

    assert run_apart(["a"], run, repr) == ["RuntimeError('a')"] and len(runs) == 1
