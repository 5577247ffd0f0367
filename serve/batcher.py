"""Batcher: which waiting requests run together, and when. Pure: state and `now` in, a batch out; no clock, no asyncio.

Greedy unless its pace says otherwise (design decision 2): whoever waits when the engine is free goes at once, as many
rows as fit. Between tenants service is shared by weight, within one the more urgent goes first, and then the older.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from threading import Lock
from typing import NamedTuple

from gantline.errors import Overloaded
from gantline.request import Request

from .admission import Admission
from .deadlines import Deadlines
from .pace import Greedy, Pace
from .policy import QueuePolicy
from .tenants import Lane, Tenant, Tenants
from .ticket import DONE, RUNNING, WAITING, Batch, Ticket

LOOK_PAST = 64  # requests that do not fit, before the search for others that do is given up
_SLACK = 256  # requests without hope that may lie in the queues before these are swept
_DECISIONS = 64  # that are remembered
_LAST = 1 << 40  # the level of those whose time-out put them behind all others: no ageing brings them back


class Decision(NamedTuple):
    """Why a batch went as it did: for whoever looks into the queue. Times in ns; `waiting`: rows, this batch's too."""

    at: int
    reason: str
    rows: int
    requests: int
    waiting: int
    oldest: int


class Batcher:
    """A bounded queue that gives out batches of compatible requests. `max_rows` 0: requests are never stacked."""

    def __init__(self, policy: QueuePolicy, pace: Pace | None = None) -> None:
        self.policy = policy
        self.lock = Lock()  # for an owner with several threads; nothing here takes it
        self.pace: Pace = pace or Greedy()
        self.admission = Admission(policy.max_queue_rows, policy.target_ns, policy.max_wait_ns)
        self.max_rows = policy.max_rows
        self.waiting_rows = 0
        self.wait_until = 0  # when take() wants to be asked again, after it gave nothing although something waits
        self._decisions: deque[tuple[int, str, int, int, int, int]] = deque(maxlen=_DECISIONS)
        self.left: list[Ticket] = []  # found to have no client any more; the owner takes them out
        self._deadlines = Deadlines()
        self._tenants = Tenants(policy.weights)
        self._home = self._tenants.home
        self._main = self._home.lane(policy.default_level)
        self._patience = policy.patience
        self._live = 0  # waiting tickets
        self._aside = 0  # tickets that lie elsewhere than in _main, hopeless ones too
        self._hopeless = 0  # tickets that were answered where they lie

    def __len__(self) -> int:
        return self._live

    def __repr__(self) -> str:
        return f"<Batcher {self.waiting_rows}/{self.admission.limit} rows wait, max_rows={self.max_rows}>"

    @property
    def decisions(self) -> list[Decision]:
        """The last ones, oldest first."""
        return [Decision(*one) for one in tuple(self._decisions)]  # which a thread may add to

    # -- in

    def add(self, ticket: Ticket, now: int) -> list[Ticket]:
        """Queue a ticket; those that were put out for it, to be refused. Overloaded when there is no room for it."""
        request = ticket.request
        if request.tenant or request.priority:
            lane = self._tenants.get(request.tenant).lane(self.policy.level(request.priority))
        else:
            lane = self._main
            home = self._home
            if not home.rows and home.service < self._tenants.virtual:
                home.service = self._tenants.virtual  # as those who were idle do
        ticket.lane = lane
        if request.deadline and self._hopelessly_late(lane, now, request.deadline):
            raise self.refusal(request.model, "deadline")
        if self.policy.sizes:
            self._look_at_level(lane.level, request)
        out = self._make_room(ticket) if self._over(ticket.rows) else []
        self.waiting_rows += ticket.rows
        self._live += 1
        lane.tenant.rows += ticket.rows
        lane.append(ticket)
        self._aside += lane is not self._main
        if request.deadline:
            self._deadlines.add(ticket)
        return out

    def _hopelessly_late(self, lane: Lane, now: int, deadline: int) -> bool:
        # when the turn of those with a priority or a tenant comes, nobody knows
        return lane is self._main and not self._aside and now + self.admission.turn(self.waiting_rows) > deadline

    def _look_at_level(self, level: int, request: Request) -> None:
        """Overloaded when as many wait at a level as may. Counted when asked: few models say so."""
        most, policy = self.policy.sizes.get(level, 0), self.policy
        lanes = [t.lanes[n] for t in self._tenants for n in (level, _LAST) if n in t.lanes] if most else []
        tickets = (t for lane in lanes for t in lane if t.state == WAITING)
        if most and sum(policy.level(t.request.priority) == level for t in tickets) >= most:
            message = (
                f"model '{request.model}': {most} requests of priority {level} are waiting already, as many as may"
            )
            raise Overloaded(f"{message}; try again later", retry_after_s=self.admission.retry_after_s(most))

    def _over(self, rows: int) -> bool:
        # a request larger than the whole queue is taken when nothing else waits: it could never go otherwise
        policy = self.policy
        if not self._live:
            return False
        if max(self.waiting_rows + rows, self._live + 1) > self.admission.limit:
            return True
        return bool(policy.max_queue_requests) and self._live >= policy.max_queue_requests

    def _make_room(self, ticket: Ticket) -> list[Ticket]:
        out: list[Ticket] = []
        while self._over(ticket.rows):
            victim = self.victim(ticket)
            if victim is None:
                for one in out:  # it would not have been enough
                    one.state = WAITING
                    self._count(one, 1)
                raise self._overloaded(ticket)
            victim.state = DONE
            self._count(victim, -1)
            out.append(victim)
        return out

    def victim(self, ticket: Ticket) -> Ticket | None:
        """Who should give way to a ticket when there is no room for both, or None.

        The newest of the tenant with the largest share, if the ticket's own tenant stays below that; or one of its
        own tenant that is less urgent.
        """
        own, largest = ticket.lane.tenant, self._tenants.largest()
        if largest is not own and (own.rows + ticket.rows) / own.weight < largest.rows / largest.weight:
            return largest.newest_of_least(0)
        return own.newest_of_least(ticket.lane.level + 1)  # type: ignore[no-any-return]  # a lane's tenant is a Tenant

    def shed(self) -> list[Ticket]:
        """The oldest beyond a limit that has become much lower: late themselves, they would make all others late."""
        admission = self.admission
        if not admission.target_ns or self.waiting_rows <= 2 * admission.limit or self._aside:
            return []
        out: list[Ticket] = []
        for ticket in tuple(self._main):
            if self.waiting_rows <= admission.limit:
                break
            if ticket.state == WAITING and not ticket.start:
                self.drop(ticket)
                out.append(ticket)
        return out

    @property
    def crowded(self) -> bool:
        """Whether one more request without priority or tenant would be refused, whatever it is."""
        return self.waiting_rows >= self.admission.limit and not self._aside

    def refusal(self, model: str, reason: str = "") -> Overloaded:
        """What to say to a request that may not wait."""
        waiting, admission, policy = self.waiting_rows, self.admission, self.policy
        many = f"{waiting} rows are"
        if not reason:
            full = admission.limit >= policy.max_queue_rows
            if policy.max_queue_requests and self._live >= policy.max_queue_requests:
                full, many = True, f"{self._live} requests are"  # that bound counts no rows
            reason = "queue_full" if full else "admission"
        what = {
            "share": "and most of them are this tenant's",
            "admission": "more would be answered too late",
            "deadline": "and the deadline would pass before its turn",
        }.get(reason, "as many as may")
        message = f"model '{model}': {many} waiting already, {what}; try again later"
        return Overloaded(message, reason, admission.retry_after_s(waiting))

    def _overloaded(self, ticket: Ticket) -> Overloaded:
        own = ticket.lane.tenant
        mine = own is self._tenants.largest() and own.rows < self.waiting_rows
        return self.refusal(ticket.request.model, "share" if mine else "")

    def _count(self, ticket: Ticket, sign: int) -> None:
        """Take a ticket that lies in its lane out of the accounts of those that wait, or back into them."""
        rest = sign * (ticket.rows - ticket.start)
        self.waiting_rows += rest
        ticket.lane.tenant.rows += rest
        self._live += sign
        self._hopeless -= sign

    # -- out, before its turn

    def drop(self, ticket: Ticket) -> None:
        """A ticket has been answered otherwise: it never goes into a batch again. Nothing happens to one done."""
        if ticket.state == WAITING:
            self._count(ticket, -1)
        ticket.state = DONE
        if self._hopeless > self._live + _SLACK:
            self._sweep()

    def hold(self, ticket: Ticket) -> None:
        """Keep the deadline of a ticket that is not queued yet."""
        if ticket.request.deadline:
            self._deadlines.add(ticket)

    def expire(self, now: int) -> list[Ticket]:
        """Those whose time has run out, waiting or running: dropped, to be answered so by the caller."""
        due = self._deadlines.due(now)
        for ticket in due:
            self.drop(ticket)
        return due

    @property
    def next_deadline(self) -> int:
        """When expire() has something to do at the earliest, 0 for never."""
        return self._deadlines.next

    def _sweep(self) -> None:
        self._hopeless = self._aside = 0
        for tenant in self._tenants:
            for lane in tenant.lanes.values():
                alive = [t for t in lane if t.state == WAITING]
                lane.clear()
                lane.extend(alive)
                self._aside += 0 if lane is self._main else len(alive)

    # -- out, in turn

    def take(self, now: int) -> Batch | None:
        """The next batch. None when nothing waits, or when it is better to wait until `wait_until`."""
        self.wait_until = 0
        while self._live:
            first: Ticket | None
            if not (self._aside or self._hopeless or self._patience):
                first = self._main[0]  # the usual: nobody asks for anything
            elif not self._aside:
                first = self._head(self._main, now)
            else:
                heads = (self._head(lane, now) for t in self._tenants.in_turn() for lane in self._lanes(t, now))
                first = next((head for head in heads if head is not None), None)
            if first is None:
                assert self._aside, "a ticket is counted that lies nowhere"
            elif first.responder.closed:
                self._leave(first)
            else:
                return self._batch(first, now)
        return None

    def _lanes(self, tenant: Tenant, now: int) -> list[Lane]:
        for lane in list(tenant.lanes.values()):
            self._head(lane, now)  # what is hopeless must not look old
        return tenant.in_order(now, self.policy.ageing_ns)

    def _head(self, lane: Lane, now: int) -> Ticket | None:
        """The first ticket of a lane that waits; those before it are taken out, or put behind all others."""
        patience = self._patience.get(lane.level) if self._patience else 0
        while lane:
            first = lane[0]
            if first.state == WAITING and not (patience and now - first.request.queued >= patience):
                return first
            lane.popleft()
            self._aside -= lane is not self._main
            if first.state == WAITING:
                first.lane = lane.tenant.lane(_LAST)
                first.lane.append(first)
                self._aside += 1
            else:
                self._hopeless -= 1
        return None

    def _batch(self, first: Ticket, now: int) -> Batch | None:
        waiting, oldest = self.waiting_rows, first.request.queued
        limit, reason = first.rows, "single"
        if self.max_rows:
            choice = self.pace.choose(now, waiting, oldest, self.max_rows, first.key)
            if not choice.rows:
                self.wait_until = choice.until
                return None
            limit, reason = choice.rows, choice.reason
        start, stop = first.start, first.rows
        tickets = [first]
        if stop - start > limit:
            first.start = stop = start + limit
            self._charge(first.lane, limit, 0)
        else:
            first.lane.popleft()
            first.state = RUNNING
            self._charge(first.lane, stop - start, 1)
        rows = stop - start
        if rows < limit and self._live:
            rows += self._fill(tickets, first.key, limit - rows, now)
        self._decisions.append((now, reason, rows, len(tickets), waiting, oldest))
        return Batch(tickets, start, stop, rows, reason, self.waiting_rows)

    def _fill(self, tickets: list[Ticket], key: Hashable, room: int, now: int) -> int:
        """Add compatible tickets while there is room, each from whoever's turn it is; how many rows."""
        if not self._aside:
            return self._sift(self._main, tickets, key, room, True)
        spent: set[int] = set()  # lanes that have nothing more to give
        added = 0
        while added < room and (found := self._next(tickets, key, room - added, now, spent)):
            added += found
        return added

    def _next(self, tickets: list[Ticket], key: Hashable, room: int, now: int, spent: set[int]) -> int:
        for tenant in self._tenants.in_turn():
            for lane in self._lanes(tenant, now):
                if id(lane) in spent:
                    continue
                if found := self._sift(lane, tickets, key, room, False):
                    return found
                spent.add(id(lane))
        return 0

    def _sift(self, lane: Lane, tickets: list[Ticket], key: Hashable, room: int, many: bool) -> int:
        """Move what fits from a lane to a batch, all or the first; the rows. What does not fit keeps its place."""
        passed: list[Ticket] = []
        before, moved = len(tickets), 0
        while lane and moved < room and len(passed) < LOOK_PAST:
            ticket = lane.popleft()
            if ticket.state != WAITING:
                self._hopeless -= 1
                self._aside -= lane is not self._main
            elif ticket.responder.closed:
                lane.appendleft(ticket)
                self._leave(ticket)
            elif ticket.key == key and moved + ticket.rows <= room and not ticket.start:
                ticket.state = RUNNING
                moved += ticket.rows
                tickets.append(ticket)
                if not many and moved:
                    break
            else:
                passed.append(ticket)
        lane.extendleft(reversed(passed))
        self._charge(lane, moved, len(tickets) - before)
        return moved

    def _charge(self, lane: Lane, rows: int, requests: int) -> None:
        """Rows of a lane go into a batch, and with them so many requests whole."""
        self.waiting_rows -= rows
        self._live -= requests
        if lane is not self._main:
            self._aside -= requests
        self._tenants.charge(lane.tenant, rows)

    def _leave(self, ticket: Ticket) -> None:
        self._count(ticket, -1)
        ticket.state = DONE
        self.left.append(ticket)
