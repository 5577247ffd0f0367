"""Batcher: pure bookkeeping, tried as such. Greedy, in order, by rows, and only what fits together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from gantline.serve.batcher import Batcher, Ticket
from gantline.serve.exchange import Head, Responder
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import Unavailable
from gantline.request import Request

HEAD = Head(b"POST", b"/", b"", [])
NOBODY = cast(Responder, SimpleNamespace(closed=False))


def ticket(rows: int = 1, key: str = "a") -> Ticket:
    return Ticket(Request({}, model="m"), rows, key, ("y",), HEAD, NOBODY, lambda *_: None, None)


def batcher(*tickets: Ticket, max_rows: int = 4, max_queue_rows: int = 100) -> Batcher:
    made = Batcher(max_rows, max_queue_rows)
    for one in tickets:
        made.add(one)
    return made


def test_nothing_waits() -> None:
    assert batcher().take() == []


def test_all_that_waits_goes_together_up_to_the_rows() -> None:
    tickets = [ticket() for _ in range(6)]
    queue = batcher(*tickets)
    assert queue.take() == tickets[:4]
    assert queue.take() == tickets[4:]
    assert queue.take() == []


def test_rows_are_counted_not_requests() -> None:
    tickets = [ticket(2), ticket(1), ticket(2), ticket(1)]
    queue = batcher(*tickets)
    assert queue.take() == [tickets[0], tickets[1], tickets[3]]
    assert queue.take() == [tickets[2]]


def test_a_request_of_more_rows_than_a_batch_goes_alone() -> None:
    tickets = [ticket(9), ticket(1)]
    queue = batcher(*tickets)
    assert queue.take() == [tickets[0]]
    assert queue.take() == [tickets[1]]


def test_others_keys_stay_in_their_order() -> None:
    a, b, c, d = ticket(key="a"), ticket(key="b"), ticket(key="a"), ticket(key="b")
    queue = batcher(a, b, c, d)
    assert queue.take() == [a, c]
    assert queue.take() == [b, d]


def test_a_model_that_is_never_stacked() -> None:
    tickets = [ticket(), ticket()]
    queue = batcher(*tickets, max_rows=0)
    assert [queue.take(), queue.take()] == [[tickets[0]], [tickets[1]]]


def test_a_full_queue_refuses_and_says_so() -> None:
    queue = batcher(ticket(3), max_queue_rows=4)
    with pytest.raises(Unavailable, match="model 'm': 3 rows are waiting already; try again later"):
        queue.add(ticket(2))
    queue.add(ticket(1))
    assert repr(queue) == "<Batcher 4/4 rows wait, max_rows=4>"


def test_a_request_larger_than_the_queue_is_taken_when_it_is_alone() -> None:
    queue = batcher(max_queue_rows=4)
    queue.add(ticket(50))
    with pytest.raises(Unavailable):
        queue.add(ticket(1))
    assert len(queue.take()) == 1
    queue.add(ticket(1))


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from("abc")), max_size=40), st.integers(0, 8))
def test_every_request_goes_once_and_never_overtakes_its_own_kind(
    arrivals: list[tuple[int, str]], max_rows: int
) -> None:
    tickets = [ticket(rows, key) for rows, key in arrivals]
    queue = batcher(*tickets, max_rows=max_rows, max_queue_rows=10_000)
    gone: list[Ticket] = []
    while batch := queue.take():
        assert len({t.key for t in batch}) == 1
        assert len(batch) == 1 or sum(t.rows for t in batch) <= max_rows
        gone += batch
        assert queue.waiting_rows == sum(t.rows for t in tickets if t not in gone)
    assert sorted(map(id, gone)) == sorted(map(id, tickets))
    assert len(queue) == 0
