"""Who runs out of time, and when to look again."""

from __future__ import annotations

import random
from typing import Any

from gantline.serve.deadlines import Deadlines
from gantline.serve.ticket import DONE, Ticket

from gantline.request import Request


def ticket(deadline: int) -> Ticket:
    nobody: Any = None
    return Ticket(Request({}, deadline=deadline), 1, "k", ("y",), nobody, nobody, nobody, None)


def test_in_order_of_time() -> None:
    deadlines = Deadlines()
    assert deadlines.next == 0 and deadlines.due(10) == []
    a, b, c = ticket(30), ticket(10), ticket(20)
    for one in (a, b, c):
        deadlines.add(one)
    assert deadlines.next == 10
    assert deadlines.due(9) == [] and deadlines.due(20) == [b, c] and deadlines.due(99) == [a]
    assert deadlines.next == 0


def test_who_is_answered_is_forgotten() -> None:
    deadlines = Deadlines()
    a, b = ticket(10), ticket(20)
    deadlines.add(a)
    deadlines.add(b)
    a.state = DONE
    assert deadlines.due(15) == [] and deadlines.next == 20


def test_millions_that_are_answered_in_time_do_not_pile_up() -> None:
    deadlines, dice = Deadlines(), random.Random(1)
    alive: list[Ticket] = []
    for now in range(50_000):
        alive.append(ticket(now + dice.randrange(10_000, 20_000)))
        deadlines.add(alive[-1])
        if len(alive) > 50:
            alive.pop(dice.randrange(50)).state = DONE
        assert len(deadlines) <= 2 * 50 + 3 * 256
    assert sorted(t.request.deadline for t in deadlines.due(10**6)) == sorted(t.request.deadline for t in alive)
