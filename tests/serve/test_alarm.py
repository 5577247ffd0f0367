"""One timer for all deadlines: set for the nearest, set again for the next, and quiet when nothing is due."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import Any, cast

import pytest
from gantline.serve.alarm import Alarm
from gantline.serve.batcher import Batcher
from gantline.serve.exchange import Gone, Head
from gantline.serve.policy import QueuePolicy
from gantline.serve.ticket import Ticket

from gantline.errors import DeadlineExceeded
from gantline.request import Request

MS = 1_000_000
HEAD = Head(b"POST", b"/v2/models/m/infer", b"", [])


class _Here:
    closed = False


class Desk:
    """A batcher whose late tickets are written down in their order."""

    def __init__(self) -> None:
        self.batcher = Batcher(QueuePolicy(max_rows=8))
        self.late: list[tuple[str, str]] = []
        self.rang = asyncio.Semaphore(0)
        self.alarm = Alarm(asyncio.get_running_loop(), self.batcher, self._late, self.rang.release)

    def _late(self, ticket: Ticket, error: DeadlineExceeded) -> None:
        self.late.append((ticket.request.id or "", error.message))

    def queue(self, id: str, after_ms: int) -> Ticket:
        """A request that is late in so many milliseconds."""
        now = perf_counter_ns()
        request = Request({}, "m", id=id, arrived=now, queued=now)
        request.deadline = now + after_ms * MS
        ticket = Ticket(request, 1, None, (), HEAD, cast(Gone, _Here()), None, None)
        assert self.batcher.add(ticket, now) == []
        self.alarm.watch(now)
        return ticket


def on(test: Any) -> None:
    async def run() -> None:
        await asyncio.wait_for(test(Desk()), 20)

    asyncio.run(run())


def test_each_hears_at_its_own_time() -> None:
    async def test(desk: Desk) -> None:
        began = perf_counter_ns()
        desk.queue("far", 60)
        desk.queue("near", 20)
        while len(desk.late) < 2:
            await desk.rang.acquire()
            assert perf_counter_ns() - began >= (60 if len(desk.late) == 2 else 20) * MS
        assert [id for id, _ in desk.late] == ["near", "far"]
        assert repr(desk.alarm) == "<Alarm off>" and not len(desk.batcher)
        assert desk.late[0][1].startswith("model 'm': the deadline passed after ")

    on(test)


def test_one_timer_at_a_time() -> None:
    async def test(desk: Desk) -> None:
        loop = asyncio.get_running_loop()
        set_for: list[float] = []
        with pytest.MonkeyPatch.context() as patch:
            later = loop.call_later

            def counted(seconds: float, call: Any) -> asyncio.TimerHandle:
                set_for.append(seconds)
                return later(seconds, call)

            patch.setattr(loop, "call_later", counted)
            first = desk.queue("first", 60_000)
            desk.queue("later", 90_000)
            assert len(set_for) == 1, "it rings before"
            desk.queue("before", 10)
            assert len(set_for) == 2
        assert repr(desk.alarm) != "<Alarm off>"
        await desk.rang.acquire()
        assert [id for id, _ in desk.late] == ["before"]
        desk.batcher.drop(first)
        desk.alarm.expire(perf_counter_ns() + 70_000 * MS)
        assert [id for id, _ in desk.late] == ["before"] and len(desk.batcher) == 1, "answered in time"

    on(test)


def test_what_is_due_can_be_asked_for() -> None:
    async def test(desk: Desk) -> None:
        desk.queue("one", 10_000)
        now = perf_counter_ns()
        desk.alarm.expire(now)
        assert desk.late == []
        desk.alarm.expire(now + 20_000 * MS)
        assert [id for id, _ in desk.late] == ["one"]

    on(test)
