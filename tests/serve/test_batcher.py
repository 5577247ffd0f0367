"""The batcher, simulated: greedy, in order of arrival, only what fits together, and bounded."""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import Any

import pytest
from gantline.serve.batcher import LOOK_PAST, Batcher, Ticket

from gantline.errors import Unavailable
from gantline.request import Request

NOBODY: Any = None


def ticket(rows: int = 1, key: Hashable = "k", number: int = 0) -> Ticket:
    return Ticket(Request({}, model="m"), rows, key, ("y",), NOBODY, NOBODY, lambda *_: None, number)


def rows_of(batch: list[Ticket]) -> list[int]:
    return [t.rows for t in batch]


def test_whoever_waits_goes_together_up_to_the_limit() -> None:
    batcher = Batcher(4, 100)
    for rows in (1, 2, 1, 3, 1, 4):
        batcher.add(ticket(rows))
    assert (len(batcher), batcher.waiting_rows) == (6, 12)
    assert [rows_of(batcher.take()) for _ in range(4)] == [[1, 2, 1], [3, 1], [4], []]
    assert (len(batcher), batcher.waiting_rows) == (0, 0)


def test_one_alone_goes_at_once() -> None:
    batcher = Batcher(64, 100)
    batcher.add(ticket())
    assert len(batcher.take()) == 1


def test_without_stacking_each_goes_alone() -> None:
    batcher = Batcher(0, 100)
    for _ in range(3):
        batcher.add(ticket())
    assert [len(batcher.take()) for _ in range(4)] == [1, 1, 1, 0]


def test_only_what_has_the_same_key_goes_together_and_the_rest_keeps_its_order() -> None:
    batcher = Batcher(8, 100)
    for i, key in enumerate("abacabb"):
        batcher.add(ticket(1, key, i))
    assert [[t.context for t in batcher.take()] for _ in range(3)] == [[0, 2, 4], [1, 5, 6], [3]]


def test_a_smaller_one_may_pass_one_that_does_not_fit_but_not_for_ever() -> None:
    batcher = Batcher(4, 100)
    for i, rows in enumerate((2, 4, 2, 1)):
        batcher.add(ticket(rows, "k", i))
    assert [[t.context for t in batcher.take()] for _ in range(3)] == [[0, 2], [1], [3]]


def test_more_rows_than_a_batch_holds_go_alone() -> None:
    batcher = Batcher(4, 100)
    for rows in (1, 9, 1):
        batcher.add(ticket(rows))
    assert [rows_of(batcher.take()) for _ in range(2)] == [[1, 1], [9]]


def test_the_bound_counts_rows() -> None:
    batcher = Batcher(4, 10)
    batcher.add(ticket(6))
    with pytest.raises(Unavailable, match="model 'm': 6 rows are waiting already; try again later"):
        batcher.add(ticket(5))
    batcher.add(ticket(4))
    with pytest.raises(Unavailable):
        batcher.add(ticket(1))
    batcher.take()
    batcher.add(ticket(6))


def test_one_larger_than_the_queue_is_taken_when_nothing_waits() -> None:
    batcher = Batcher(4, 10)
    batcher.add(ticket(11))
    with pytest.raises(Unavailable):
        batcher.add(ticket(1))


def test_requests_without_rows_are_bounded_too() -> None:
    batcher = Batcher(4, 3)
    for _ in range(3):
        batcher.add(ticket(0))
    with pytest.raises(Unavailable):
        batcher.add(ticket(0))
    assert len(batcher.take()) == 3


def test_the_search_for_others_is_bounded() -> None:
    batcher = Batcher(1000, 10_000)
    batcher.add(ticket(1, "a"))
    for i in range(LOOK_PAST):
        batcher.add(ticket(1, i))
    batcher.add(ticket(1, "a"))
    assert len(batcher.take()) == 1
    batcher.take()
    assert [t.key for t in batcher.take()] == [1]  # nobody was lost or moved


def test_its_words_for_a_person() -> None:
    batcher = Batcher(4, 10)
    batcher.add(ticket(3))
    assert repr(batcher) == "<Batcher 3/10 rows wait, max_rows=4>"


def test_a_long_simulation() -> None:
    """Everybody goes exactly once, batches are legal, and those with one key stay in order unless larger ones wait."""
    dice = random.Random(5)
    batcher = Batcher(8, 200)
    waiting: list[Ticket] = []
    gone: set[int] = set()
    refused = number = 0
    for _ in range(20_000):
        if dice.random() < 0.7:
            one = ticket(dice.choice((0, 1, 1, 2, 3, 8, 20)), dice.choice("abc"), number)
            number += 1
            try:
                batcher.add(one)
                waiting.append(one)
            except Unavailable:
                refused += 1
                assert batcher.waiting_rows + max(one.rows, 1) > 200 or len(batcher) >= 200
        else:
            batch = batcher.take()
            assert bool(batch) == bool(waiting)
            if not batch:
                continue
            assert batch[0] is waiting[0], "the first never waits"
            assert len({t.key for t in batch}) == 1
            assert len(batch) == 1 or sum(rows_of(batch)) <= 8
            assert [t.context for t in batch] == sorted(t.context for t in batch)
            for t in batch:
                waiting.remove(t)
                assert t.context not in gone
                gone.add(t.context)
        assert (len(batcher), batcher.waiting_rows) == (len(waiting), sum(rows_of(waiting)))
    assert refused and len(gone) + len(waiting) + refused == number
