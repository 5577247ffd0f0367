"""Isolation: when a batch fails, halve it until only the guilty are left to fail; all others get their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E")


def run_apart(
    items: Sequence[T], run: Callable[[Sequence[T]], Sequence[R]], failed: Callable[[Exception], E]
) -> list[R | E]:
    """One result for each item: of a run together if that succeeds, else of runs of ever smaller parts.

    One guilty item among n costs about 2 log2(n) runs more. `failed` says what an item gets that fails alone.
    """
    try:
        return list(run(items))
    except Exception as e:
        return halve(items, e, run, failed)


def halve(
    items: Sequence[T], error: Exception, run: Callable[[Sequence[T]], Sequence[R]], failed: Callable[[Exception], E]
) -> list[R | E]:
    """The rest of `run_apart`, for items that have failed together."""
    if len(items) == 1:
        return [failed(error)]
    middle = len(items) // 2
    return [*run_apart(items[:middle], run, failed), *run_apart(items[middle:], run, failed)]
