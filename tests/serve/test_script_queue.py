"""The queue before a script's host, with a real one: order, bounds, deadlines, clients that leave, and what is kept."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.script.link import Call
from gantline.accelerators.script.ring import Message
from gantline.accelerators.session import Session
from gantline.serve.policy import QueuePolicy
from gantline.serve.script_queue import ScriptQueue
from gantline.serve.statistics import Statistics
from gantline.serve.ticket import Ticket

import gantline
from gantline.errors import DeadlineExceeded, GantlineError, Overloaded, Unavailable
from gantline.request import Request

MS = 1_000_000
SCRIPT = """
import os, time
import json

def init():
    pass

def run(data):
    told = json.loads(data)
    with open(os.path.join({folder!r}, "log"), "a") as f:
        f.write(told["name"] + " ")
    while "gate" in told and not os.path.exists(os.path.join({folder!r}, told["gate"])):
        time.sleep(0.001)
    time.sleep(told.get("sleep", 0))
    return told["name"]
"""


@dataclass(frozen=True)
class Script:
    """A host, and the folder where its script writes down what it was asked."""

    engine: ScriptEngine
    folder: Path

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().split()


@pytest.fixture(params=["run", "run_batch", "async run"])
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Script]:
    yield from _opened(tmp_path, request.param)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Script]:
    yield from _opened(tmp_path, "run")


def _opened(folder: Path, kind: str) -> Iterator[Script]:
    text = SCRIPT.format(folder=str(folder))
    if kind == "run_batch":
        text += "\n\ndef run_batch(items):\n    return [run(i) for i in items]\n"
    if kind == "async run":
        text = text.replace("def run", "async def run").replace("time.sleep", "await asyncio.sleep")
        text = text.replace("import json", "import asyncio, json")
    (folder / "score.py").write_text(text)
    session = Session.open(gantline.package(script=folder / "score.py", name="m", output=folder / "m.pkg"))
    try:
        assert isinstance(session.engine, ScriptEngine)
        (folder / "log").touch()
        yield Script(session.engine, folder)
    finally:
        session.close()


class Client:
    """Who asks, and what it was told."""

    def __init__(self, name: str, told: str = "") -> None:
        self.closed = False
        self.name = name
        self.call = Call(ch.SCORE, f'{{"name": "{name}"{told}}}'.encode(), self.heard)
        self.found: list[Any] = []
        self.told = asyncio.Event()
        self.freed = False

    def heard(self, message: Message) -> None:
        self.found.append("cancelled" if message.flags & ch.CANCELLED else message.body.decode().strip('"'))
        self.told.set()

    def refused(self, error: GantlineError) -> None:
        self.found.append(error)
        self.told.set()

    def over(self) -> None:
        assert not self.freed
        self.freed = True

    async def answer(self) -> Any:
        await asyncio.wait_for(self.told.wait(), 20)
        (one,) = self.found
        return one


class Bench:
    """A queue of a test's own, whose host gets `room` calls at once; 0: as many as the queue sees fit."""

    def __init__(self, script: Script, room: int = 1, **policy: Any) -> None:
        self.script = script
        self.statistics = Statistics()
        self.queue = ScriptQueue(script.engine.crew, QueuePolicy(**policy), self.statistics)
        if room:
            self.queue.room = self.queue._many = room

    def ask(self, name: str, told: str = "", timeout_ms: float = 0, **asked: Any) -> Client:
        now = perf_counter_ns()
        request = Request({}, "m", arrived=now, queued=now, **asked)
        request.deadline = now + int(timeout_ms * MS) if timeout_ms else 0
        client = Client(name, told)
        nobody: Any = None
        self.ticket = Ticket(request, 1, None, (), nobody, client, None, client)
        self.queue.submit(self.ticket)
        return client

    def gate(self, name: str = "gate") -> None:
        (self.script.folder / name).touch()


def on(script: Script, test: Callable[[Bench], Awaitable[None]], room: int = 1, **policy: Any) -> None:
    async def run() -> None:
        bench = Bench(script, room, **policy)
        try:
            await asyncio.wait_for(test(bench), 30)
            await asyncio.wait_for(bench.queue.drain(), 20)
            assert bench.queue.running == len(bench.queue.batcher) == 0
        finally:
            script.engine.crew.detach()

    asyncio.run(run())


GATE = ', "gate": "gate"'


def test_who_waits_goes_by_urgency_and_shares(script: Script) -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask("first", GATE)
        names = [("a1", b"a", 0), ("a2", b"a", 0), ("b1", b"b", 0), ("late", b"a", 9), ("now", b"a", 1)]
        clients = [bench.ask(name, tenant=tenant, priority=priority) for name, tenant, priority in names]
        assert bench.queue.running == 1 and len(bench.queue.batcher) == 5
        assert repr(bench.queue) == "<ScriptQueue 1/1 with the host, 5 wait>"
        bench.gate()
        assert [await c.answer() for c in (first, *clients)] == ["first", *(n for n, _, _ in names)]
        order = script.log
        assert order[0] == "first" and order.index("now") < order.index("a1") < order.index("a2") < order.index("late")
        assert order.index("b1") <= 2, "the other tenant's turn comes before the second of this one"
        assert all(c.freed for c in clients)

    on(script, test)


def test_a_full_queue_refuses_and_whoever_has_more_than_its_share_makes_room(plain: Script) -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask("first", GATE)
        big = [bench.ask(f"big{i}", tenant=b"big") for i in range(3)]
        with pytest.raises(Overloaded, match="3 rows are waiting already") as caught:
            bench.ask("one more", tenant=b"big")
        assert caught.value.retry_after_s >= 1
        small = bench.ask("small", tenant=b"small")
        error = await big[2].answer()
        assert isinstance(error, Overloaded) and error.reason == "share" and big[2].freed
        bench.gate()
        assert [await c.answer() for c in (first, big[0], big[1], small)] == ["first", "big0", "big1", "small"]
        assert "big2" not in plain.log

    on(plain, test, max_queue_rows=3)


@pytest.mark.parametrize("room", [1, 8])  # the late ones wait here, and lie with the host already
def test_what_is_late_never_begins(script: Script, room: int) -> None:
    async def test(bench: Bench) -> None:
        if room > 1 and bench.script.engine.host.info["concurrent"]:
            return  # it begins what it gets at once
        first = bench.ask("first", GATE)
        while "first" not in script.log:  # noqa: ASYNC110  # another process; a batch would take the late ones along
            await asyncio.sleep(0.001)
        late = [bench.ask(f"late{i}", timeout_ms=20) for i in range(3)]
        fine = bench.ask("fine", timeout_ms=60_000)
        for one in late:
            error = await one.answer()
            assert isinstance(error, DeadlineExceeded) and "the deadline passed after" in error.message
        bench.gate()
        assert [await first.answer(), await fine.answer()] == ["first", "fine"]
        await bench.queue.drain()
        assert script.log == ["first", "fine"] and all(c.freed for c in late)

    on(script, test, room)


def test_one_that_is_late_while_it_runs_is_answered_in_time(script: Script) -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask("first", GATE, timeout_ms=30)
        assert isinstance(await first.answer(), DeadlineExceeded)
        bench.gate()
        assert await bench.ask("next").answer() == "next"
        await bench.queue.drain()
        assert first.found == [first.found[0]] and first.freed

    on(script, test)


@pytest.mark.parametrize("room", [1, 8])
def test_who_leaves_is_not_run_and_counts(plain: Script, room: int) -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask("first", GATE)
        gone = bench.ask("gone")
        bench.queue.leave(bench.ticket)
        bench.queue.leave(bench.ticket)  # a second time does nothing
        closed = bench.ask("closed")
        if room == 1:
            closed.closed = True  # as the queue finds out when its turn comes
        here = bench.ask("here")
        bench.gate()
        assert [await first.answer(), await here.answer()] == ["first", "here"]
        await bench.queue.drain()
        assert "gone" not in plain.log and gone.freed and closed.freed
        assert gone.found == [] or gone.found == ["cancelled"]
        assert bench.statistics.cancelled == (2 if room == 1 else 0)

    on(plain, test, room)


def test_a_host_gets_no_more_than_keeps_it_busy(plain: Script) -> None:
    async def test(bench: Bench) -> None:
        slow = [bench.ask(f"slow{i}", ', "sleep": 0.01') for i in range(30)]
        for one in slow:
            await one.answer()
        assert bench.queue.room == 2
        while bench.queue.room == 2:  # a busy machine may hold up some of them
            quick = [bench.ask(f"quick{i}") for i in range(20)]
            for one in quick:
                await one.answer()
        assert bench.queue.batcher.admission.rate * 1e9 > 5

    on(plain, test, 0)


def test_a_batch_and_an_async_script_get_what_they_can_use(script: Script) -> None:
    async def test(bench: Bench) -> None:
        info = script.engine.host.info
        host = script.engine.host
        assert bench.queue.room == (host.depth // 2 if info["concurrent"] else 512 if info["batch"] else 8)

    on(script, test, 0)


def test_a_host_that_is_no_more_refuses_all(plain: Script) -> None:
    async def test(bench: Bench) -> None:
        bench.ask("first", GATE)
        waiting = [bench.ask(f"n{i}") for i in range(200)]
        await asyncio.to_thread(plain.engine.host.close)
        for one in waiting:
            error = await one.answer()
            assert isinstance(error, Unavailable) and "unloaded" in error.message and one.freed
        assert isinstance(await bench.ask("later").answer(), Unavailable)

    on(plain, test)


def test_nothing_is_left_for_the_garbage_collector(plain: Script) -> None:
    async def test(bench: Bench) -> None:
        gc.collect()
        gc.disable()
        try:
            client = bench.ask("a")
            assert await client.answer() == "a"
            kept = weakref.ref(client)
            del client, bench.ticket
            await bench.queue.drain()
            assert kept() is None
        finally:
            gc.enable()

    on(plain, test)
