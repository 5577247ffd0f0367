"""Several hosts of one script, real ones: side by side, each loaded once, and no call lost with the one that dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.script.link import FINAL, Call
from gantline.accelerators.script.ring import Message

from gantline.errors import ScriptFailed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no hosts on Windows")
SCRIPT = """
import os, time

FOLDER = os.path.dirname(__file__)

def mark(name):
    with open(os.path.join(FOLDER, name), "a") as f:
        f.write(f"{os.getpid()}\\n")

def init():
    mark("loaded")

def run(data):
    if data == "gate":
        mark("begun")
        while not os.path.exists(os.path.join(FOLDER, "open")):
            time.sleep(0.001)
    return os.getpid()
"""
Start = Callable[..., ScriptEngine]


@pytest.fixture
def two(start: Start) -> ScriptEngine:
    return start(SCRIPT, options=EngineOptions(instances=2))


def folder(engine: ScriptEngine) -> Path:
    return Path(engine.host._supervisor._launch.config["code"])


def marks(engine: ScriptEngine, name: str) -> list[int]:
    path = folder(engine) / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


class Asked:
    """One call from the event loop."""

    def __init__(self, engine: ScriptEngine, body: bytes) -> None:
        self.over = asyncio.Event()
        self.call = Call(ch.SCORE, body, self._heard)
        engine.crew.submit(self.call)

    def _heard(self, message: Message) -> None:
        if message.kind in FINAL:
            self.last = message
            self.over.set()

    async def answer(self) -> Message:
        await asyncio.wait_for(self.over.wait(), 20)
        return self.last


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  # other processes
            await asyncio.sleep(0.005)


def on(engine: ScriptEngine, test: Callable[[], object]) -> None:
    async def main() -> None:
        engine.crew.attach(asyncio.get_running_loop())
        try:
            await test()  # type: ignore[misc]
        finally:
            engine.crew.detach()

    asyncio.run(main())


def test_as_many_calls_run_at_once_as_there_are_hosts(two: ScriptEngine) -> None:
    pids = two.crew.pids
    assert len(two.crew) == len(set(pids)) == 2 and sorted(marks(two, "loaded")) == sorted(pids), "each loads once"

    async def test() -> None:
        asked = [Asked(two, b"gate") for _ in range(2)]
        await until(lambda: len(marks(two, "begun")) == 2)
        assert sorted(marks(two, "begun")) == sorted(pids) and two.crew.in_flight == 2
        (folder(two) / "open").touch()
        assert {int((await one.answer()).body) for one in asked} == set(pids)
        await two.crew.drain()

    on(two, test)
    assert two.crew.restarts == 0


def test_threads_do_not_wait_for_each_other(two: ScriptEngine) -> None:
    def ask() -> Message:
        found: list[Message] = []
        two.crew.run([Call(ch.SCORE, b"gate", found.append, direct=True)])
        return found[-1]

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask) for _ in range(2)]
        asyncio.run(until(lambda: len(marks(two, "begun")) == 2))
        (folder(two) / "open").touch()
        assert {int(one.result(20).body) for one in asked} == set(two.crew.pids)


def test_what_a_dead_host_had_not_begun_goes_to_the_other(two: ScriptEngine) -> None:
    async def test() -> None:
        asked = [Asked(two, b"gate") for _ in range(2)]
        await until(lambda: len(marks(two, "begun")) == 2)
        behind = [Asked(two, b"go") for _ in range(4)]
        dead, alive = asked[0].call.host, asked[1].call.host
        assert dead is not None and alive is not None and dead is not alive
        assert sum(one.call.host is dead for one in behind) == 2
        pid, other = dead.pid, alive.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert (await asked[0].answer()).flags & ch.DIED
        assert all(one.call.host is alive for one in behind)
        (folder(two) / "open").touch()
        assert [int((await one.answer()).body) for one in (asked[1], *behind)] == [other] * 5
        await until(lambda: len(two.crew.pids) == 2)
        assert two.crew.restarts == 1 and len(marks(two, "loaded")) == 3

    on(two, test)


def test_who_leaves_is_not_run(two: ScriptEngine) -> None:
    async def test() -> None:
        asked = [Asked(two, b"gate") for _ in range(2)]
        await until(lambda: len(marks(two, "begun")) == 2)
        behind = Asked(two, b"go")
        assert two.crew.cancel(behind.call), "a host has it"
        assert not two.crew.cancel(Call(ch.SCORE, b"", lambda _: None)), "it was never given away"
        (folder(two) / "open").touch()
        assert (await behind.answer()).flags & ch.CANCELLED
        assert [(await one.answer()).status for one in asked] == [200, 200]

    on(two, test)


def test_all_end_together(two: ScriptEngine, start: Start) -> None:
    pids = two.crew.pids
    two.close()
    assert two.crew.pids == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(ScriptFailed, match="init"):
        start(
            "def init():\n    raise RuntimeError('init')\ndef run(data):\n    pass\n",
            options=EngineOptions(instances=3),
        )
