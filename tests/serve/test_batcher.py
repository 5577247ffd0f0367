"""The batcher, simulated: greedy, in order of arrival, only what fits together, and bounded."""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import Any

import pytest
from gantline.serve.batcher import LOOK_PAST, Batcher
from gantline.serve.pace import Delayed
from gantline.serve.policy import QueuePolicy
from gantline.serve.ticket import RUNNING, Batch, Ticket

from gantline.errors import Overloaded, Unavailable
from gantline.request import Request

NOW = 0  # where the time does not matter


class Waiting:
    """A client that may leave."""

    closed = False


def ticket(rows: int = 1, key: Hashable = "k", number: int = 0, deadline: int = 0, at: int = 0) -> Ticket:
    request = Request({}, model="m", deadline=deadline, queued=at)
    nobody: Any = None
    return Ticket(request, rows, key, ("y",), nobody, Waiting(), lambda *_: None, number)


def queue(max_rows: int, bound: int) -> Batcher:
    return Batcher(QueuePolicy(max_rows, bound))


def rows_of(batch: Batch | None) -> list[int]:
    return [] if batch is None else [t.rows for t in batch.tickets]


def numbers(batch: Batch | None) -> list[int]:
    return [] if batch is None else [t.context for t in batch.tickets]


def fill(batcher: Batcher, *tickets: Ticket) -> None:
    for one in tickets:
        assert batcher.add(one, NOW) == []


def test_whoever_waits_goes_together_up_to_the_limit() -> None:
    batcher = queue(4, 100)
    fill(batcher, *(ticket(rows) for rows in (1, 2, 1, 3, 1, 4)))
    assert (len(batcher), batcher.waiting_rows) == (6, 12)
    assert [rows_of(batcher.take(NOW)) for _ in range(4)] == [[1, 2, 1], [3, 1], [4], []]
    assert (len(batcher), batcher.waiting_rows) == (0, 0)


def test_one_alone_goes_at_once() -> None:
    batcher = queue(64, 100)
    fill(batcher, one := ticket())
    batch = batcher.take(NOW)
    assert batch is not None and batch.tickets == [one] and one.state == RUNNING
    assert (batch.start, batch.stop, batch.rows, batch.partial, batch.reason) == (0, 1, 1, False, "idle")


def test_without_stacking_each_goes_alone() -> None:
    batcher = queue(0, 100)
    fill(batcher, ticket(), ticket(7), ticket())
    assert [rows_of(batcher.take(NOW)) for _ in range(4)] == [[1], [7], [1], []]
    assert [d.reason for d in batcher.decisions] == ["single"] * 3


def test_only_what_has_the_same_key_goes_together_and_the_rest_keeps_its_order() -> None:
    batcher = queue(8, 100)
    fill(batcher, *(ticket(1, key, i) for i, key in enumerate("abacabb")))
    assert [numbers(batcher.take(NOW)) for _ in range(3)] == [[0, 2, 4], [1, 5, 6], [3]]


def test_a_smaller_one_may_pass_one_that_does_not_fit_but_not_for_ever() -> None:
    batcher = queue(4, 100)
    fill(batcher, *(ticket(rows, "k", i) for i, rows in enumerate((2, 4, 2, 1))))
    assert [numbers(batcher.take(NOW)) for _ in range(3)] == [[0, 2], [1], [3]]


def test_more_rows_than_a_batch_holds_go_in_parts_and_the_last_has_company() -> None:
    batcher = queue(4, 100)
    fill(batcher, ticket(1, number=0), ticket(9, number=1), ticket(1, number=2), ticket(2, number=3))
    batches = [b for _ in range(5) if (b := batcher.take(NOW)) is not None]
    assert [(numbers(b), b.start, b.stop, b.rows, b.partial) for b in batches] == [
        ([0, 2, 3], 0, 1, 4, False),
        ([1], 0, 4, 4, True),
        ([1], 4, 8, 4, True),
        ([1], 8, 9, 1, True),
    ]
    assert (len(batcher), batcher.waiting_rows) == (0, 0)


def test_the_bound_counts_rows() -> None:
    batcher = queue(4, 10)
    fill(batcher, ticket(6))
    with pytest.raises(Unavailable, match="model 'm': 6 rows are waiting already, as many as may; try again later"):
        batcher.add(ticket(5), NOW)
    fill(batcher, ticket(4))
    with pytest.raises(Unavailable):
        batcher.add(ticket(1), NOW)
    batcher.take(NOW)
    fill(batcher, ticket(4))


def test_one_larger_than_the_queue_is_taken_when_nothing_waits() -> None:
    batcher = queue(4, 10)
    fill(batcher, ticket(11))
    with pytest.raises(Unavailable):
        batcher.add(ticket(1), NOW)


def test_requests_are_bounded_too() -> None:
    batcher = queue(4, 3)
    fill(batcher, *(ticket(0) for _ in range(3)))
    with pytest.raises(Unavailable):
        batcher.add(ticket(0), NOW)
    assert len(rows_of(batcher.take(NOW))) == 3
    batcher = Batcher(QueuePolicy(4, 100, max_queue_requests=2))
    batcher.admission.limit = 90  # as learned: not what the third is refused for
    fill(batcher, ticket(5), ticket(5))
    with pytest.raises(Overloaded, match="2 requests are waiting already, as many as may") as refused:
        batcher.add(ticket(), NOW)
    assert refused.value.reason == "queue_full"


def test_the_search_for_others_is_bounded() -> None:
    batcher = queue(1000, 10_000)
    fill(batcher, ticket(1, "a"), *(ticket(1, i) for i in range(LOOK_PAST)), ticket(1, "a"))
    assert len(rows_of(batcher.take(NOW))) == 1
    batcher.take(NOW)
    second = batcher.take(NOW)
    assert second is not None and [t.key for t in second.tickets] == [1]  # nobody was lost or moved


def test_its_words_for_a_person() -> None:
    batcher = queue(4, 10)
    fill(batcher, one := ticket(3))
    assert repr(batcher) == "<Batcher 3/10 rows wait, max_rows=4>"
    assert repr(one) == "<Ticket 3 rows, 0 taken, waiting>"
    assert repr(batcher.take(NOW)) == "<Batch [3] [0:3] idle>"


def test_a_delay_is_asked_for_again() -> None:
    batcher = Batcher(QueuePolicy(4, 100), Delayed(1000))
    fill(batcher, ticket(at=100))
    assert batcher.take(100) is None and batcher.wait_until == 1100
    fill(batcher, ticket(at=600))
    assert batcher.take(600) is None and batcher.wait_until == 1100
    assert rows_of(batcher.take(1100)) == [1, 1] and batcher.wait_until == 0
    fill(batcher, *(ticket(at=1200) for _ in range(4)))
    assert rows_of(batcher.take(1200)) == [1] * 4
    assert [(d.reason, d.rows, d.requests, d.waiting, d.oldest) for d in batcher.decisions] == [
        ("delay", 2, 2, 2, 100),
        ("full", 4, 4, 4, 1200),
    ]


def test_who_runs_out_of_time_goes_into_no_batch() -> None:
    batcher = queue(4, 100)
    late, running, partly, fine = ticket(deadline=50), ticket(deadline=60), ticket(9, deadline=70), ticket(deadline=999)
    fill(batcher, running)
    batcher.take(NOW)
    fill(batcher, partly)
    assert rows_of(batcher.take(NOW)) == [9]
    fill(batcher, late, fine)
    assert batcher.next_deadline == 50
    assert batcher.expire(49) == [] and batcher.expire(50) == [late]
    assert batcher.expire(80) == [running, partly]
    assert (len(batcher), batcher.waiting_rows) == (1, 1)
    assert batcher.take(80).tickets == [fine]  # type: ignore[union-attr]  # there is one
    assert batcher.take(80) is None and batcher.waiting_rows == 0


def test_those_without_hope_do_not_pile_up() -> None:
    """Behind an engine that hangs, requests come and expire; they must not be kept."""
    batcher = queue(4, 100)
    for now in range(10_000):
        batcher.add(ticket(deadline=now + 10, at=now), now)
        batcher.expire(now)
        assert len(batcher) <= 11
    assert len(batcher._main) < 1000 and len(batcher._deadlines) < 1000


def test_clients_that_left_make_room_for_others_and_are_told_of() -> None:
    batcher = queue(4, 100)
    gone, here, also_gone = ticket(number=0), ticket(number=1), ticket(number=2)
    fill(batcher, gone, here, also_gone)
    for one in (gone, also_gone):
        one.responder.closed = True
    assert numbers(batcher.take(NOW)) == [1]
    assert batcher.left == [gone, also_gone] and batcher.waiting_rows == len(batcher) == 0


def test_a_long_simulation() -> None:
    """Everybody goes exactly once, batches are legal, and those with one key stay in order unless larger ones wait."""
    dice = random.Random(5)
    batcher = queue(8, 200)
    waiting: list[Ticket] = []
    taken: dict[int, int] = {}
    refused = number = 0
    for now in range(20_000):
        if dice.random() < 0.6:
            one = ticket(dice.choice((0, 1, 1, 2, 3, 8, 20)), dice.choice("abc"), number, at=now)
            number += 1
            try:
                batcher.add(one, now)
                waiting.append(one)
            except Unavailable:
                refused += 1
                assert batcher.waiting_rows + max(one.rows, 1) > 200 or len(batcher) >= 200
        else:
            batch = batcher.take(now)
            assert bool(batch) == bool(waiting)
            if batch is None:
                continue
            assert batch.tickets[0] is waiting[0], "the first never waits"
            assert len({t.key for t in batch.tickets}) == 1
            assert batch.rows <= 8 and numbers(batch) == sorted(numbers(batch))
            assert batch.start == taken.get(batch.tickets[0].context, 0)
            for i, t in enumerate(batch.tickets):
                taken[t.context] = taken.get(t.context, 0) + (batch.stop - batch.start if i == 0 else t.rows)
                if taken[t.context] == t.rows:
                    waiting.remove(t)
        left = sum(t.rows - taken.get(t.context, 0) for t in waiting)
        assert (len(batcher), batcher.waiting_rows) == (len(waiting), left)
    assert refused and len(taken) > 1000
