"""async def run: requests side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script import channel as ch

from .conftest import Start, Talk, ask

SCRIPT = """
    import asyncio, os
    def init():
        global together
        together = None
    async def run(data):
        global together
        if together is None:
            together = asyncio.Barrier(10)
        if data == "meet":
            return await together.wait() < 10
        if data == "fail":
            raise ValueError("no")
        if data == "for ever":
            try:
                await asyncio.sleep(600)
            finally:
                print("was cancelled")
        if data == "block":
            while True:
                pass
        if data.startswith("busy"):
            _, began, gate = data.split()
            open(began, "w").close()
            while not os.path.exists(gate):
                pass
            return "done"
        if data.startswith("tidy"):
            _, began, gate = data.split()
            open(began, "w").close()
            try:
                await asyncio.sleep(600)
            finally:
                while not os.path.exists(gate):
                    await asyncio.sleep(0.001)
                open(began + ".tidied", "w").close()
        await asyncio.sleep(0)
        return data
"""
STREAM = """
    import asyncio
    def init():
        pass
    async def run(data):
        if data == "plain":
            yield "plain"
            return
        try:
            for i in range(3 if data == "three" else 10**9):
                yield {"i": i} if data == "three" else "x" * 50_000
                await asyncio.sleep(0)
            if data == "never":
                yield
        finally:
            print("the stream was closed")
"""


def test_requests_run_side_by_side(start: Start) -> None:
    engine = start(SCRIPT)
    assert [m.body for m in ask(engine, *[b"meet"] * 10)] == [b"true"] * 10


def test_one_fails_alone_and_large_ones_pass(start: Start) -> None:
    engine = start(SCRIPT)
    bodies = [b"x" * 300_000, b"fail", b"y", b"\xff"]
    assert [m.status for m in ask(engine, *bodies)] == [200, 500, 200, 400]
    many = [b"%d" % i * 50 for i in range(2000)]
    assert [m.body[1:-1] for m in ask(engine, *many)] == many


def test_a_client_that_leaves_cancels_its_request(start: Start) -> None:
    engine = start(SCRIPT)

    async def main() -> None:
        talk = Talk(engine, b"for ever")
        assert (await Talk(engine, b"x").rest())[-1].body == b'"x"'
        engine.host.cancel(talk.call)
        assert (await talk.rest())[-1].flags == ch.CANCELLED

    asyncio.run(main())


def test_one_that_is_cancelled_before_it_begins_is_answered(start: Start, tmp_path: Path) -> None:
    """The host was busy: it hears of the request and of the cancellation together."""
    engine = start(SCRIPT)
    began, gate = tmp_path / "began", tmp_path / "gate"

    async def main() -> None:
        busy = Talk(engine, f"busy {began} {gate}".encode())
        while not began.exists():  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.001)
        talk = Talk(engine, b"for ever")
        engine.host.cancel(talk.call)
        gate.touch()
        assert (await talk.rest())[-1].flags == ch.CANCELLED
        assert (await busy.rest())[-1].body == b'"done"'
        assert engine.host.in_flight == 0

    asyncio.run(main())


def test_what_a_cancelled_request_does_to_end_is_not_interrupted(start: Start, tmp_path: Path) -> None:
    engine = start(SCRIPT)
    began, gate = tmp_path / "began", tmp_path / "gate"

    async def main() -> None:
        talk = Talk(engine, f"tidy {began} {gate}".encode())
        while not began.exists():  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.001)
        engine.host.cancel(talk.call)
        for _ in range(3):  # each has the host look at what was cancelled
            assert (await Talk(engine, b"x").rest())[-1].body == b'"x"'
        gate.touch()
        assert (await talk.rest())[-1].flags == ch.CANCELLED
        assert (tmp_path / "began.tidied").exists()

    asyncio.run(main())


def test_time_limits(start: Start) -> None:
    engine = start(SCRIPT, options=EngineOptions(timeout_s=0.2))
    slow, good = ask(engine, b"for ever", b"x")
    assert slow.flags & ch.TIMED_OUT and good.body == b'"x"'
    assert engine.host.restarts == 0


def test_a_script_that_blocks_the_loop_is_killed(start: Start) -> None:
    engine = start(SCRIPT, options=EngineOptions(timeout_s=0.2))
    (bad,) = ask(engine, b"block")
    assert bad.flags & ch.TIMED_OUT
    assert ask(engine, b"x")[0].body == b'"x"'
    assert engine.host.restarts == 1


def test_async_generators_are_streamed_and_closed(start: Start) -> None:
    engine = start(STREAM)

    async def main() -> None:
        endless = Talk(engine, b"endless")
        while (await endless.next()).kind != ch.CHUNK:
            pass
        three = await Talk(engine, b"three").rest()  # meanwhile
        assert [m.kind for m in three] == [ch.START, ch.CHUNK, ch.CHUNK, ch.CHUNK, ch.END]
        assert b"".join(m.body for m in three) == b'{"i": 0}\n{"i": 1}\n{"i": 2}\n'
        engine.host.cancel(endless.call)
        assert (await endless.rest())[-1].flags == ch.CANCELLED

    asyncio.run(main())
