"""Tenants: weighted fair queueing between those who share a model, and aged priorities within each. Pure.

Start-time fair queueing (Goyal, Vin, Cheng 1996): whoever has had the least service for its weight goes next, and
having been idle earns no credit.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping

from .ticket import WAITING, Ticket

MAX_IDLE = 1024  # tenants that are remembered although nothing of theirs waits


class Lane(deque[Ticket]):
    """The tickets of one tenant and one level of priority (1 is the most urgent), oldest first.

    Those that were answered while they lay here stay until somebody comes across them.
    """

    def __init__(self, tenant: Tenant, level: int) -> None:
        super().__init__()
        self.tenant = tenant
        self.level = level


class Tenant:
    """One tenant's waiting tickets, a lane for each level of priority, and the service that it has had."""

    __slots__ = ("lanes", "name", "rows", "service", "weight")

    def __init__(self, name: bytes, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.service = 0.0  # rows served, divided by the weight; only differences mean something
        self.rows = 0  # that wait
        self.lanes: dict[int, Lane] = {}

    def __repr__(self) -> str:
        return f"<Tenant {self.name!r} {self.rows} rows wait, service {self.service:g}>"

    def lane(self, level: int) -> Lane:
        """Where tickets of this level wait."""
        lane = self.lanes.get(level)
        if lane is None:
            lane = self.lanes[level] = Lane(self, level)
        return lane

    def in_order(self, now: int, ageing_ns: int) -> list[Lane]:
        """Its lanes that hold something, the most urgent first: a level counts less, the longer its first waits."""
        found = []
        for lane in self.lanes.values():
            if lane:
                queued = lane[0].request.queued
                aged = (now - queued) // ageing_ns if ageing_ns else 0
                found.append((lane.level - aged, queued, lane.level, lane))
        found.sort(key=lambda entry: entry[:3])
        return [entry[3] for entry in found]

    def newest_of_least(self, level: int) -> Ticket | None:
        """The first to give up for one of `level`: the last of the least urgent lane that has not begun to run."""
        for own in sorted(self.lanes, reverse=True):
            if own < level:
                return None
            for ticket in reversed(self.lanes[own]):
                if ticket.state == WAITING and not ticket.start:
                    return ticket
        return None


class Tenants:
    """All tenants of one queue. The one without a name is always there."""

    def __init__(self, weights: Mapping[bytes, float]) -> None:
        self._weights = weights
        self.home = Tenant(b"", weights.get(b"", 1.0))
        self._all: OrderedDict[bytes, Tenant] = OrderedDict({b"": self.home})
        self._waiting: dict[Tenant, None] = {self.home: None}  # those who may have something in their lanes
        self.virtual = 0.0  # the service of whoever was served last

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._all.values())

    def get(self, name: bytes) -> Tenant:
        """The tenant of that name, about to wait; one that was idle starts level with those being served."""
        tenant = self._all.get(name)
        if tenant is None:
            if len(self._all) > MAX_IDLE:
                self._forget()
            tenant = self._all[name] = Tenant(name, self._weights.get(name, 1.0))
        if not tenant.rows:
            tenant.service = max(tenant.service, self.virtual)
            self._waiting[tenant] = None
        return tenant

    def in_turn(self) -> list[Tenant]:
        """Those with something in their lanes, whose turn it is first."""
        found = [t for t in self._waiting if any(t.lanes.values())]
        if len(found) < len(self._waiting) - 1:
            for tenant in [t for t in self._waiting if not any(t.lanes.values()) and t is not self.home]:
                del self._waiting[tenant]
                tenant.lanes.clear()  # a lane and its tenant refer to each other
        return sorted(found, key=lambda t: t.service)

    def charge(self, tenant: Tenant, rows: int) -> None:
        """So many of a tenant's rows go into a batch."""
        if tenant.service > self.virtual:
            self.virtual = tenant.service
        tenant.rows -= rows
        tenant.service += rows / tenant.weight

    def largest(self) -> Tenant:
        """Who has the most rows waiting for its weight."""
        return max(self._waiting, key=lambda t: t.rows / t.weight)

    def _forget(self) -> None:
        # the tenants that wait are bounded by the queue, these by MAX_IDLE
        idle = [t for t in self._all.values() if not any(t.lanes.values()) and t is not self.home]
        for tenant in sorted(idle, key=lambda t: t.service)[: len(idle) // 2 + 1]:
            del self._all[tenant.name]
            self._waiting.pop(tenant, None)
