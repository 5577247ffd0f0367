"""Tenants and their lanes by themselves; what they do for a queue is in test_batcher_fairness."""

from __future__ import annotations

from typing import Any

from gantline.serve.tenants import Tenant, Tenants
from gantline.serve.ticket import DONE, Ticket

from gantline.request import Request


def ticket(queued: int = 0) -> Ticket:
    nobody: Any = None
    return Ticket(Request({}, queued=queued), 1, "k", ("y",), nobody, nobody, nobody, None)


def test_service_is_divided_by_weight() -> None:
    tenants = Tenants({b"gold": 2.0})
    gold, free = tenants.get(b"gold"), tenants.get(b"free")
    for one in (gold, free):
        one.rows = 10
        one.lane(5).append(ticket())
        tenants.charge(one, 4)
    assert (gold.service, free.service, gold.rows) == (2.0, 4.0, 6)
    assert tenants.in_turn() == [gold, free] and tenants.largest() is free
    assert repr(gold) == "<Tenant b'gold' 6 rows wait, service 2>"


def test_the_one_without_a_name_is_always_there() -> None:
    tenants = Tenants({b"": 4.0})
    assert tenants.get(b"") is tenants.home and tenants.home.weight == 4.0 and list(tenants) == [tenants.home]


def test_lanes_in_order_of_aged_level() -> None:
    tenant = Tenant(b"", 1.0)
    urgent, normal, low = (tenant.lane(level) for level in (1, 5, 10))
    assert tenant.lane(5) is normal
    urgent.append(ticket(1000))
    low.append(ticket(0))
    assert tenant.in_order(1000, 0) == [urgent, low]
    assert tenant.in_order(1000, 200) == [urgent, low]
    assert tenant.in_order(1000, 100) == [low, urgent]


def test_whom_to_give_up_first() -> None:
    tenant = Tenant(b"", 1.0)
    first, second, begun = ticket(), ticket(), ticket()
    begun.start = 1
    tenant.lane(9).extend([first, second, begun])
    tenant.lane(1).append(ticket())
    assert tenant.newest_of_least(5) is second
    second.state = first.state = DONE
    assert tenant.newest_of_least(5) is None
    assert tenant.newest_of_least(0) is tenant.lane(1)[0]


def test_whose_turn_it_is_is_looked_for_among_those_who_wait() -> None:
    tenants = Tenants({})
    for i in range(500):
        tenants.get(b"%d" % i)
    busy = tenants.get(b"busy")
    busy.lane(5).append(ticket())
    assert tenants.in_turn() == [busy] and list(tenants._waiting) == [tenants.home, busy]
