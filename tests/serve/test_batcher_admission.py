"""The batcher's bounds, simulated: what may not wait is told why, and when to try again."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.serve.batcher import Batcher
from gantline.serve.policy import QueuePolicy
from gantline.serve.ticket import Ticket

from gantline.errors import Overloaded
from gantline.request import Request

SECOND = 1_000_000_000


class Waiting:
    """A client that stays."""

    closed = False


def ticket(rows: int = 1, tenant: bytes = b"", priority: int = 0, deadline: int = 0) -> Ticket:
    nobody: Any = None
    request = Request({}, model="m", tenant=tenant, priority=priority, deadline=deadline)
    return Ticket(request, rows, "k", ("y",), nobody, Waiting(), lambda *_: None, None)


def busy(batcher: Batcher, rows_s: int) -> Batcher:
    """A batcher of an engine that does so many rows a second, as batches of a tenth of that have shown."""
    for i in range(1, 50):
        batcher.admission.observe(i * SECOND // 10, rows_s // 10, 0, 1, limited=True, least=1)
    return batcher


def test_a_full_queue_says_so() -> None:
    batcher = Batcher(QueuePolicy(4, 10))
    for _ in range(10):
        batcher.add(ticket(), 0)
    assert batcher.crowded
    with pytest.raises(Overloaded, match="10 rows are waiting already, as many as may") as caught:
        batcher.add(ticket(), 0)
    assert (caught.value.reason, caught.value.retry_after_s) == ("queue_full", 1.0)


def test_an_adaptive_limit_lies_below_it() -> None:
    batcher = busy(Batcher(QueuePolicy(4, 1000, max_wait_ns=2 * SECOND)), 100)
    assert batcher.admission.limit == pytest.approx(200, abs=2)
    for _ in range(batcher.admission.limit):
        batcher.add(ticket(), 0)
    with pytest.raises(Overloaded, match="more would be answered too late") as caught:
        batcher.add(ticket(), 0)
    assert caught.value.reason == "admission" and caught.value.retry_after_s == pytest.approx(2, rel=0.02)
    assert batcher.refusal("m").reason == "admission"
    assert "/201 rows wait" in repr(batcher) or "/200 rows wait" in repr(batcher)


def test_whoever_has_more_than_its_share_is_told_that_it_is_its_own_doing() -> None:
    batcher = Batcher(QueuePolicy(4, 10))
    for _ in range(7):
        batcher.add(ticket(tenant=b"greedy"), 0)
    for _ in range(3):
        batcher.add(ticket(tenant=b"modest"), 0)
    assert not batcher.crowded  # somebody else might still have room
    with pytest.raises(Overloaded, match="most of them are this tenant's") as caught:
        batcher.add(ticket(tenant=b"greedy"), 0)
    assert caught.value.reason == "share"
    out = batcher.add(ticket(tenant=b"modest"), 0)
    assert [t.request.tenant for t in out] == [b"greedy"]


def test_a_deadline_that_would_pass_before_its_turn_is_refused_at_once() -> None:
    batcher = busy(Batcher(QueuePolicy(4, 10_000)), 100)
    now = 100 * SECOND
    batcher.add(ticket(deadline=now + 1), now)  # nothing is ahead of it
    for _ in range(199):
        batcher.add(ticket(), now)
    batcher.add(ticket(deadline=now + 21 * SECOND // 10), now)
    with pytest.raises(Overloaded, match="the deadline would pass before its turn") as caught:
        batcher.add(ticket(deadline=now + 19 * SECOND // 10), now)
    assert caught.value.reason == "deadline"
    batcher.add(ticket(priority=1, deadline=now + SECOND), now)  # it goes before the others
    assert len(batcher) == 202


def test_as_long_as_nothing_is_known_no_deadline_is_hopeless() -> None:
    batcher = Batcher(QueuePolicy(4, 10_000))
    for _ in range(5000):
        batcher.add(ticket(deadline=1000), 0)
    assert len(batcher) == 5000


def test_when_the_limit_becomes_much_lower_the_oldest_go() -> None:
    batcher = Batcher(QueuePolicy(4, 1000, target_ns=SECOND))
    waiting = [ticket() for _ in range(100)]
    for one in waiting:
        batcher.add(one, 0)
    batcher.admission.limit = 60
    assert batcher.shed() == []
    batcher.admission.limit = 40
    assert batcher.shed() == waiting[:60] and batcher.waiting_rows == len(batcher) == 40
    batch = batcher.take(0)
    assert batch is not None and batch.tickets == waiting[60:64]


def test_without_a_target_nothing_that_waits_is_given_up() -> None:
    batcher = Batcher(QueuePolicy(4, 1000, max_wait_ns=SECOND))
    for _ in range(100):
        batcher.add(ticket(), 0)
    batcher.admission.limit = 10
    assert batcher.shed() == [] and len(batcher) == 100
