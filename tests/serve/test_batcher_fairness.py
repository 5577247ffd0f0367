"""Shares of tenants, priorities and their ageing: the batcher under loads that want more than there is."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from gantline.serve.batcher import Batcher
from gantline.serve.policy import LevelPolicy, QueuePolicy
from gantline.serve.ticket import DONE, WAITING, Ticket

from gantline.errors import Unavailable
from gantline.request import Request

MS = 1_000_000


class Waiting:
    closed = False


def ticket(tenant: bytes = b"", priority: int = 0, at: int = 0, rows: int = 1, deadline: int = 0) -> Ticket:
    request = Request({}, model="m", tenant=tenant, priority=priority, queued=at, deadline=deadline)
    nobody: Any = None
    return Ticket(request, rows, "k", ("y",), nobody, Waiting(), lambda *_: None, None)


def served(batcher: Batcher, offers: dict[bytes, int], rounds: int, dice: random.Random) -> Counter[bytes]:
    """Each round so many requests of each tenant come, in any order, and one batch goes."""
    count: Counter[bytes] = Counter()
    for now in range(rounds):
        coming = [name for name, n in offers.items() for _ in range(n)]
        dice.shuffle(coming)
        for name in coming:
            try:
                for out in batcher.add(ticket(name, at=now * MS), now * MS):
                    assert out.state == DONE
            except Unavailable:
                pass
        batch = batcher.take(now * MS)
        assert batch is not None and batch.rows <= batcher.max_rows
        count.update(t.request.tenant for t in batch.tickets)
    return count


@pytest.mark.parametrize("names", [(b"big", b"small"), (b"", b"small"), (b"big", b"")])
def test_ten_to_one_with_equal_weights_get_half_each(names: tuple[bytes, bytes]) -> None:
    big, small = names
    count = served(Batcher(QueuePolicy(8, 200)), {big: 100, small: 10}, 600, random.Random(1))
    assert abs(count[small] / count.total() - 0.5) < 0.01


def test_weights_are_shares() -> None:
    batcher = Batcher(QueuePolicy(8, 300, weights={b"gold": 3.0}))
    count = served(batcher, {b"gold": 20, b"free": 20, b"": 20}, 600, random.Random(2))
    assert [round(count[t] / count.total(), 2) for t in (b"gold", b"free", b"")] == [0.6, 0.2, 0.2]


def test_who_asks_for_less_than_a_share_gets_all_of_it_and_the_rest_is_not_lost() -> None:
    count = served(Batcher(QueuePolicy(8, 200)), {b"big": 100, b"small": 2}, 600, random.Random(3))
    assert count[b"small"] >= 1190 and count.total() == 4800


def test_idle_time_earns_no_credit() -> None:
    batcher = Batcher(QueuePolicy(4, 400))
    served(batcher, {b"a": 4}, 500, random.Random(4))
    count = served(batcher, {b"a": 10, b"b": 10}, 200, random.Random(5))
    assert abs(count[b"b"] / count.total() - 0.5) < 0.02


def test_many_tenants_do_not_pile_up() -> None:
    batcher = Batcher(QueuePolicy(4, 400))
    for i in range(5000):
        batcher.add(ticket(b"%d" % i), i)
        batcher.take(i)
    assert len(list(batcher._tenants)) < 1100


def test_a_full_queue_makes_room_for_whoever_has_less() -> None:
    batcher = Batcher(QueuePolicy(8, 10))
    greedy = [ticket(b"big") for _ in range(10)]
    for one in greedy:
        batcher.add(one, 0)
    with pytest.raises(Unavailable):
        batcher.add(ticket(b"big"), 0)
    put_out = [batcher.add(ticket(b"small"), 0) for _ in range(5)]
    assert put_out == [[greedy[9]], [greedy[8]], [greedy[7]], [greedy[6]], []] or len(put_out) == 5
    assert len(batcher) == 10 and batcher.waiting_rows == 10


def test_a_request_that_would_not_fit_anyway_puts_nobody_out() -> None:
    batcher = Batcher(QueuePolicy(8, 10))
    waiting = [ticket(b"big") for _ in range(10)]
    for one in waiting:
        batcher.add(one, 0)
    with pytest.raises(Unavailable):
        batcher.add(ticket(b"small", rows=9), 0)
    assert [t.state for t in waiting] == [WAITING] * 10 and (len(batcher), batcher.waiting_rows) == (10, 10)


def test_the_urgent_go_first_and_may_push_out_the_less_urgent() -> None:
    batcher = Batcher(QueuePolicy(2, 4))
    low, normal = [ticket(priority=9) for _ in range(2)], [ticket() for _ in range(2)]
    for one in (*low, *normal):
        batcher.add(one, 0)
    high = ticket(priority=1)
    assert batcher.add(high, 0) == [low[1]]
    order = [t for _ in range(3) if (b := batcher.take(0)) for t in b.tickets]
    assert order == [high, *normal, low[0]]


def test_priorities_beyond_the_levels_are_the_default() -> None:
    policy = QueuePolicy(levels=3, default_level=2)
    assert [policy.level(p) for p in (0, 1, 2, 3, 4, 99)] == [2, 1, 2, 3, 2, 2]


def test_ageing_starves_nobody() -> None:
    """The urgent ones alone are more than can be served; a request of the last level still gets its turn."""
    batcher = Batcher(QueuePolicy(1, 10_000, ageing_ns=100 * MS))
    patient = ticket(priority=10)
    batcher.add(patient, 0)
    ms = 0
    for ms in range(2000):
        batcher.add(ticket(priority=1, at=ms * MS), ms * MS)
        batcher.add(ticket(priority=1, at=ms * MS), ms * MS)
        batch = batcher.take(ms * MS)
        assert batch is not None
        if batch.tickets[0] is patient:
            break
    assert 850 <= ms <= 1900, "nine levels of 100 ms, and those that had waited as long"


def test_without_ageing_levels_are_strict() -> None:
    batcher = Batcher(QueuePolicy(1, 10_000, ageing_ns=0))
    batcher.add(ticket(priority=10), 0)
    for ms in range(500):
        batcher.add(ticket(priority=1, at=ms * MS), ms * MS)
        batch = batcher.take(ms * MS)
        assert batch is not None and batch.tickets[0].request.priority == 1


def test_a_time_out_may_demote_instead_of_refuse() -> None:
    batcher = Batcher(QueuePolicy(1, 100, timeout_ns=10 * MS, demote=True))
    old, new = ticket(at=0), ticket(at=9 * MS)
    for one in (old, new):
        batcher.add(one, 0)
    assert [batcher.take(12 * MS).tickets for _ in range(2)] == [[new], [old]]  # type: ignore[union-attr]
    assert batcher.take(12 * MS) is None and len(batcher) == 0


def test_each_level_may_have_its_own_patience_and_size() -> None:
    policy = QueuePolicy(
        1, 100, levels=3, default_level=2, own={3: LevelPolicy(10 * MS, demote=True)}, sizes={2: 9, 3: 2}
    )
    batcher = Batcher(policy)
    old, new, normal = ticket(priority=3, at=0), ticket(b"a", 3, at=9 * MS), ticket(at=9 * MS)
    for one in (old, new, normal):
        batcher.add(one, 0)
    with pytest.raises(Unavailable, match="2 requests of priority 3 are waiting already, as many as may; try again"):
        batcher.add(ticket(b"b", priority=3), 0)
    order = [batcher.take(12 * MS).tickets[0] for _ in range(2)]  # type: ignore[union-attr]  # there is one
    assert set(order) == {new, normal}, "the old one has become impatient, and the least urgent"
    with pytest.raises(Unavailable):  # where it lies now it still counts as one of its level
        for _ in range(2):
            batcher.add(ticket(priority=3, at=12 * MS), 12 * MS)
    assert len(batcher) == 2
    batcher.drop(old)
    batcher.add(ticket(priority=3, at=12 * MS), 12 * MS)
    assert len(batcher) == 2


def drop(alive: dict[Ticket, None], tickets: list[Ticket]) -> None:
    for one in tickets:
        del alive[one]


def test_a_long_simulation_with_everything() -> None:
    """Tenants, priorities, deadlines, clients that leave: each ticket ends exactly once, and the accounts are right."""
    dice = random.Random(7)
    batcher = Batcher(QueuePolicy(8, 60, weights={b"a": 2.0}, ageing_ns=20 * MS))
    alive: dict[Ticket, None] = {}
    ended: Counter[str] = Counter()
    for now in range(0, 8_000 * MS, MS):
        if dice.random() < 0.75:
            deadline = now + dice.randrange(1, 60) * MS if dice.random() < 0.3 else 0
            one = ticket(
                dice.choice((b"", b"a", b"b")), dice.choice((0, 0, 1, 9)), now, dice.choice((1, 1, 3, 11)), deadline
            )
            try:
                out = batcher.add(one, now)
                alive[one] = None
            except Unavailable:
                ended["refused"] += 1
                out = []
            ended["put out"] += len(out)
            drop(alive, out)
        if dice.random() < 0.02 and alive:
            dice.choice(list(alive)).responder.closed = True
        for late in batcher.expire(now):
            ended["late"] += 1
            del alive[late]
        if dice.random() < 0.3 and (batch := batcher.take(now)) is not None:
            whole = [t for t in batch.tickets if t.state != WAITING]
            ended["served"] += len(whole)
            for done in whole:
                done.state = DONE  # as whoever answers it does
            drop(alive, whole)
            assert batch.rows <= 8
        for left in batcher.left:
            ended["left"] += 1
            del alive[left]
        batcher.left.clear()
        waiting = [t for t in alive if t.state == WAITING]
        assert len(batcher) == len(waiting)
        assert batcher.waiting_rows == sum(t.rows - t.start for t in waiting)
    assert min(ended.values()) > 20 and len(ended) == 5, ended
