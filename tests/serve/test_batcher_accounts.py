"""The batcher against a plain model of it: whatever happens in whatever order, nothing is lost and all counts agree."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from gantline.serve.batcher import _SLACK, Batcher
from gantline.serve.pace import Delayed, Greedy
from gantline.serve.policy import LevelPolicy, QueuePolicy
from gantline.serve.ticket import DONE, HELD, RUNNING, WAITING, Batch, Ticket

from gantline.errors import Unavailable
from gantline.request import Request

MS = 1_000_000
STEPS = 1500


class Client:
    """May leave."""

    def __init__(self) -> None:
        self.closed = False


POLICIES = {
    "plain": QueuePolicy(8, 60, weights={b"a": 2.0}, ageing_ns=20 * MS),
    "alone": QueuePolicy(0, 40),
    "few": QueuePolicy(4, 1000, max_queue_requests=12, ageing_ns=0),
    "demoting": QueuePolicy(8, 60, timeout_ns=9 * MS, demote=True),
    "levels": QueuePolicy(
        4, 80, levels=9, own={1: LevelPolicy(5 * MS, demote=True), 9: LevelPolicy(30 * MS)}, sizes={1: 6, 9: 3}
    ),
    "target": QueuePolicy(8, 40, target_ns=20 * MS),
}  # fmt: skip


class Plain:
    """What must be true of a batcher, worked out from all tickets that were ever taken."""

    def __init__(self, policy: QueuePolicy, dice: random.Random) -> None:
        self.dice = dice
        self.policy = policy
        self.batcher = Batcher(policy, Delayed(2 * MS, (4,)) if dice.random() < 0.5 else Greedy())
        self.now = 0
        self.alive: dict[Ticket, int] = {}  # rows that have not run
        self.running: list[Ticket] = []
        self.held: list[Ticket] = []
        self.ended: Counter[str] = Counter()

    # -- what may happen

    def add(self) -> None:
        one = self._ticket()
        before = set(self.alive)
        try:
            out = self.batcher.add(one, self.now)
        except Unavailable:
            self.ended["refused"] += 1
            assert one not in self.alive and all(t.state != DONE for t in before), "who is refused puts nobody out"
            return
        self.alive[one] = one.rows
        self._end(out, "put out")

    def add_many(self) -> None:
        for _ in range(self.dice.randrange(2, 12)):
            self.add()

    def hold(self) -> None:
        one = self._ticket()
        one.state = HELD
        self.batcher.hold(one)
        if one.request.deadline:
            self.held.append(one)

    def submit_held(self) -> None:
        if self.held:
            one = self.held.pop(0)
            one.state, one.request.queued = WAITING, self.now
            try:
                out = self.batcher.add(one, self.now)
            except Unavailable:
                one.state = DONE
                return
            self.alive[one] = one.rows
            self._end(out, "put out")

    def leave(self) -> None:
        if self.alive:
            self.dice.choice(list(self.alive)).responder.closed = True

    def drop(self) -> None:
        waiting = [t for t in self.alive if t.state == WAITING]
        for one in self.dice.sample(waiting, min(len(waiting), self.dice.choice((1, 1, 20)))):
            self.batcher.drop(one)
            self._end([one], "dropped")
            self.batcher.drop(one)  # a second time does nothing

    def expire(self) -> None:
        due = self.batcher.expire(self.now)
        for one in [t for t in due if t in self.held]:
            self.held.remove(one)
            due.remove(one)
        assert len(set(due)) == len(due) and all(0 < t.request.deadline <= self.now for t in due)
        self.running = [t for t in self.running if t not in due]
        self._end(due, "late")
        rest = (t.request.deadline for t in (*self.alive, *self.held) if t.request.deadline)
        assert all(deadline > self.now for deadline in rest)

    def shed(self) -> None:
        admission, usual = self.batcher.admission, self.batcher.admission.limit
        admission.limit = max(usual // 4, 1)
        self._end(self.batcher.shed(), "shed")
        admission.limit = usual

    def take(self) -> None:
        self.expire()
        waiting = [t for t in self.alive if t.state == WAITING and not t.responder.closed]
        batch = self.batcher.take(self.now)
        left, self.batcher.left = self.batcher.left, []
        assert all(t.responder.closed for t in left)
        self._end(left, "left")
        if batch is None:
            assert not waiting or self.batcher.wait_until > self.now
        else:
            self._run(batch)

    def answer(self) -> None:
        done, self.running = self.running, []
        for one in done:
            assert one.state == RUNNING
            one.state = DONE
        self._end(done, "served")

    def _run(self, batch: Batch) -> None:
        first = batch.tickets[0]
        assert len({t.key for t in batch.tickets}) == 1 and len(set(batch.tickets)) == len(batch.tickets)
        assert batch.stop - batch.start <= first.rows and first.rows - self.alive[first] == batch.start
        assert batch.rows == batch.stop - batch.start + sum(t.rows for t in batch.tickets[1:])
        assert batch.rows <= self.policy.max_rows or (not self.policy.max_rows and len(batch.tickets) == 1)
        self.alive[first] -= batch.stop - batch.start
        for one in batch.tickets[1:]:
            assert not one.responder.closed and one.start == 0
            self.alive[one] = 0
        whole = [t for t in batch.tickets if not self.alive[t]]
        assert all(t.state == RUNNING for t in whole)
        self.running += whole

    def _ticket(self) -> Ticket:
        pick = self.dice.choice
        tenant = pick((b"", b"", b"a", b"b", b"%d" % self.dice.randrange(2000)))
        deadline = self.now + self.dice.randrange(1, 40) * MS if self.dice.random() < 0.3 else 0
        request = Request({}, "m", tenant=tenant, priority=pick((0, 0, 0, 1, 9, 77)), queued=self.now)
        if self.policy.target_ns:  # who waits too long is put out only where nobody asks for anything
            request.tenant, request.priority = b"", 0
        request.deadline = deadline
        nobody: Any = None
        return Ticket(request, pick((0, 1, 1, 1, 2, 3, 11)), pick("kkj"), (), nobody, Client(), None, None)

    def _end(self, tickets: list[Ticket], how: str) -> None:
        for one in tickets:
            assert one.state == DONE
            del self.alive[one]  # once, and of those that were taken
            self.ended[how] += 1

    # -- what must be true all the time

    def look(self) -> None:
        batcher, tenants = self.batcher, list(self.batcher._tenants)
        lying = [(lane, t) for tenant in tenants for lane in tenant.lanes.values() for t in lane]
        waiting = {t for t in self.alive if t.state == WAITING}
        assert len({t for _, t in lying}) == len(lying), "one lies in two places"
        assert {t for _, t in lying if t.state == WAITING} == waiting, "one is lost"
        assert all(t.lane is lane for lane, t in lying if t.state == WAITING)
        assert len(batcher) == batcher._live == len(waiting)
        assert batcher.waiting_rows == sum(self.alive[t] for t in waiting)
        assert batcher._hopeless == len(lying) - len(waiting)
        assert batcher._hopeless <= batcher._live + _SLACK
        assert batcher._aside == sum(lane is not batcher._main for lane, _ in lying)
        for tenant in tenants:
            assert tenant.rows == sum(self.alive[t] for t in waiting if t.lane.tenant is tenant)
            assert tenant in batcher._tenants._waiting or not any(tenant.lanes.values())
        assert all(t.start == t.rows - self.alive[t] for t in waiting)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", POLICIES)
def test_nothing_is_lost_and_all_counts_agree(name: str, seed: int) -> None:
    plain = Plain(POLICIES[name], random.Random(f"{name} {seed}"))
    ways = {
        plain.add: 20, plain.add_many: 2, plain.hold: 1, plain.submit_held: 1, plain.leave: 1, plain.drop: 1,
        plain.expire: 2, plain.shed: 1, plain.take: 12, plain.answer: 4,
    }  # fmt: skip
    for _ in range(STEPS):
        plain.dice.choices(list(ways), list(ways.values()))[0]()
        plain.now += plain.dice.randrange(MS)
        plain.look()
    while len(plain.batcher):  # whoever still waits is served
        plain.now += MS
        plain.take()
        plain.look()
    plain.answer()
    assert plain.alive == {}
    expected = {"served", "refused", "late", "left", "dropped"} | ({"shed"} if name == "target" else set())
    assert expected <= set(plain.ended), plain.ended
