"""What a script may do to its process, and what that costs: its own requests and nothing else."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.engine import ScriptEngine

from gantline.errors import Unavailable

from .conftest import Start, Talk, ask, call

DEEDS = """
    import ctypes, os, sys, threading, time

    def init():
        pass

    def run(data):
        if data == "raise":
            raise ValueError("no")
        if data == "sys.exit":
            sys.exit(7)
        if data == "os._exit":
            os._exit(5)
        if data == "segfault":
            ctypes.string_at(0)
        if data == "loop":
            while True:
                pass
        if data == "deaf loop":
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
        if data == "memory":
            return len(b"x" * (4 << 30))
        if data == "fork":
            return "child" if os.fork() == 0 else "parent"
        if data == "thread":
            threading.Thread(target=time.sleep, args=(600,)).start()
        if data == "close":
            os.closerange(3, 1 << 16)
        return data
"""


def until(true: Callable[[], bool]) -> None:
    """Wait for what another process does; a minute is for ever."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("deed", ["raise", "sys.exit"])
def test_an_exception_costs_its_request_only(start: Start, deed: str) -> None:
    engine = start(DEEDS)
    bad, good = ask(engine, deed.encode(), b"good")
    assert (bad.kind, bad.status, bad.flags) == (ch.REPLY, 500, ch.RUN_FAILED)
    assert (good.status, good.body) == (200, b'"good"')
    assert engine.host.restarts == 0


@pytest.mark.parametrize("deed", ["os._exit", "segfault"])
def test_a_death_costs_what_was_begun_and_the_rest_goes_to_the_next_process(start: Start, deed: str) -> None:
    engine = start(DEEDS)
    before = engine.host.pid
    first, bad, *others = ask(engine, b"first", deed.encode(), *[b"%d" % i for i in range(20)])
    assert first.body == b'"first"'
    assert bad.kind == ch.BROKEN and bad.flags & ch.DIED and bad.status == 500
    assert [m.body for m in others] == [b'"%d"' % i for i in range(20)]
    assert engine.host.restarts == 1 and engine.host.pid != before


def test_a_script_that_closes_every_file_is_started_again(start: Start) -> None:
    engine = start(DEEDS)
    (m,) = ask(engine, b"close")  # its answer may have been in the ring before the end was noticed
    assert m.body == b'"close"' or m.flags & ch.DIED
    assert [m.body for m in ask(engine, b"good")] == [b'"good"']
    until(lambda: engine.host.restarts == 1)


@pytest.mark.parametrize("deed", ["loop", "deaf loop"])
def test_an_endless_loop_is_ended_in_time(start: Start, deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if deed == "deaf loop":  # the other one is to end by itself, however long it waits for a core
        monkeypatch.setattr("gantline.accelerators.script.supervise.GRACE_S", 0.2)
    engine = start(DEEDS, options=EngineOptions(timeout_s=0.3))
    bad, good = ask(engine, deed.encode(), b"good")
    assert bad.flags & ch.TIMED_OUT and bad.status == 500
    assert good.body == b'"good"'
    assert engine.host.restarts == (deed == "deaf loop")


def test_memory_is_bounded(start: Start) -> None:
    engine = start(DEEDS, options=EngineOptions(memory_limit=1 << 30))
    bad, good = ask(engine, b"memory", b"good")
    assert bad.status == 500 and good.body == b'"good"'


def test_forks_and_threads_of_a_script_answer_nothing(start: Start) -> None:
    engine = start(DEEDS)
    found = ask(engine, b"fork", b"thread", b"good")
    assert [m.body for m in found] == [b'"parent"', b'"thread"', b'"good"']
    assert engine.host.restarts == 0


def test_bodies_of_any_size(start: Start) -> None:
    engine = start("def init(): pass\ndef run(data): return data")
    for size in (0, 1, ch.INLINE - 8, ch.INLINE, ch.INLINE + 1, ch.RING, 64 << 20):
        (m,) = ask(engine, b"x" * size)
        assert len(m.body) == size + 2 and m.body[:2] == (b'"x' if size else b'""')


def test_large_bodies_many_at_once(start: Start) -> None:
    engine = start("def init(): pass\ndef run(data): return data")
    bodies = [bytes([97 + i % 26]) * (100_000 + 37_000 * (i % 9)) for i in range(60)]
    assert [m.body[1:-1] for m in ask(engine, *bodies)] == bodies


def test_full_means_unavailable(start: Start) -> None:
    engine = start("import time\ndef init(): pass\ndef run(data): time.sleep(60)")
    engine.host.depth = 2
    for _ in range(2):
        engine.host.submit(call(b"x")[0])
    with pytest.raises(Unavailable, match="2 requests wait already"):
        engine.host.submit(call(b"x")[0])
    assert engine.host.in_flight == 2


def test_closing_kills_the_host_and_its_children_and_refuses_who_waits(start: Start) -> None:
    engine = start(
        """
        import subprocess, time
        def init():
            pass
        def run(data):
            if data == "child":
                return subprocess.Popen(["sleep", "600"]).pid
            time.sleep(600)
        """
    )
    child = int(ask(engine, b"child")[0].body)
    host = engine.host.pid
    assert host is not None
    waiting, found = call(b"slow")
    later, refused = call(b"later")
    engine.host.submit(waiting)
    engine.host.submit(later)
    engine.close()
    assert found[-1].flags & ch.DIED or found[-1].status == 503
    assert refused[-1].status == 503
    for pid in (host, child):
        until(lambda pid=pid: not _runs(pid))  # type: ignore[misc]
    with pytest.raises(Unavailable):
        engine.host.submit(call(b"x")[0])


def test_closing_gives_the_shared_memory_back(start: Start) -> None:
    before = _mappings()
    engine = start("def init(): pass\ndef run(data): return data")
    ask(engine, b"x" * (1 << 20))
    assert _mappings() == before + 1
    engine.close()
    assert _mappings() == before


def test_a_loop_and_a_thread_ask_at_the_same_time(start: Start) -> None:
    engine = start("def init(): pass\ndef run(data): return data")
    wrong: list[bytes] = []

    def from_a_thread() -> None:
        for i in range(200):
            wrong.extend(m.body for m in ask(engine, b"t%d" % i) if m.body != b'"t%d"' % i)

    async def from_the_loop() -> None:
        thread = threading.Thread(target=from_a_thread)
        thread.start()
        for i in range(200):
            talks = [Talk(engine, b"l%d" % (10 * i + j)) for j in range(10)]
            for j, talk in enumerate(talks):
                (m,) = await talk.rest()
                wrong.extend([m.body] if m.body != b'"l%d"' % (10 * i + j) else [])
            await asyncio.sleep(0)
        await asyncio.to_thread(thread.join)

    asyncio.run(from_the_loop())
    assert wrong == []


def test_a_cancelled_call_is_never_begun(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    engine = start(
        f"""
        def init():
            pass
        def run(data):
            if data == "wait":
                open({str(gate)!r}).read()
            else:
                open({str(tmp_path / "begun")!r}, "w").close()
        """
    )

    async def main() -> None:
        first, second = Talk(engine, b"wait"), Talk(engine, b"second")
        engine.host.cancel(second.call)
        gate.open("w").close()  # blocks until the script reads
        assert (await first.rest())[-1].status == 200
        assert (await second.rest())[-1].flags == ch.CANCELLED

    asyncio.run(main())
    assert not (tmp_path / "begun").exists()


def test_a_death_is_told_on_the_loop(start: Start) -> None:
    engine: ScriptEngine = start(DEEDS)

    async def main() -> None:
        bad, good = Talk(engine, b"segfault"), Talk(engine, b"good")
        assert (await bad.rest())[-1].flags & ch.DIED
        assert (await good.rest())[-1].body == b'"good"'

    asyncio.run(main())


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:gantline")
