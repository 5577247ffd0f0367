"""A seat with a real worker process in it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from gantline.serve.process.handover import to_json
from gantline.serve.process.link import error_of
from gantline.serve.process.listener import bind
from gantline.serve.process.seat import Seat, WorkerGone

from gantline.errors import BadArtefact, NotFound, Unavailable
from gantline.settings import ServeSettings, resolve

WAIT_S = 60.0


async def start(seat: Seat, ref: Path, folder: Path) -> None:
    resolved = resolve(ServeSettings, {"http_port": "0", "log_level": "error"}, {})
    with bind(resolved.settings) as listener:
        file = listener.fileno()
        told = {
            "resolved": to_json(resolved),
            "refs": [str(ref)],
            "followed": [],
            "url": "http://x",
            "listener": file,
            "grpc_port": 0,
            "folder": str(folder),
            "workers": 1,
        }
        await seat.start(told, (file,))


def test_a_life(zoo: Path, tmp_path: Path) -> None:
    async def run() -> None:
        seat = Seat(7)
        with pytest.raises(WorkerGone):
            await seat.call("index", {"ready": True}, WAIT_S)
        await start(seat, zoo / "double.onnx", tmp_path)
        assert seat.pid is not None and repr(seat) == f"<Seat 7 pid={seat.pid} calls=0>"
        message = await seat.receive()
        assert message is not None and message["kind"] == "loaded" and len(message["report"]["models"]) == 1
        seat.tell("serve", ready=True)
        assert await seat.receive() == {"kind": "opened"}
        hearing = asyncio.ensure_future(seat.receive())
        assert [r["state"] for r in await seat.call("index", {"ready": False}, WAIT_S)] == ["READY"]
        with pytest.raises(NotFound, match="failed to load 'none'"):
            await seat.call("load", {"name": "none", "config": ""}, WAIT_S)
        with pytest.raises(Unavailable, match=r"worker 7 did not finish 'statistics' within 0 s"):
            await seat.call("statistics", {"name": "", "version": ""}, 0.0)
        os.kill(seat.pid, signal.SIGSTOP)
        last = asyncio.ensure_future(seat.call("index", {"ready": False}, WAIT_S))
        await asyncio.sleep(0)
        seat.kill()
        assert await hearing is None
        assert await seat.end() == -9 and seat.pid is None
        with pytest.raises(WorkerGone):
            await last
        seat.tell("to nobody")

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_whoever_asks_while_it_is_seen_out_is_told_at_once(zoo: Path, tmp_path: Path) -> None:
    async def run() -> None:
        seat = Seat(1)
        await start(seat, zoo / "double.onnx", tmp_path)
        assert (message := await seat.receive()) is not None and message["kind"] == "loaded"
        seat.kill()
        assert await seat.receive() is None
        ending = asyncio.ensure_future(seat.end())
        await asyncio.sleep(0)
        assert not ending.done()
        with pytest.raises(WorkerGone):
            await seat.call("index", {"ready": False}, WAIT_S)
        seat.tell("to nobody")
        assert not seat.beat(1.0, 1.0)
        assert await ending == -9

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_its_pulse(zoo: Path, tmp_path: Path) -> None:
    """Ticks of the test's own; the answers are the process's."""

    async def until_heard(seat: Seat) -> None:
        while seat.pulse.tick(0.0) is False:  # noqa: ASYNC110  # the answer comes by the link, when it comes
            await asyncio.sleep(0.001)

    async def run() -> None:
        seat = Seat(1)
        assert not seat.beat(1.0, 1.0)  # there is nobody yet
        await start(seat, zoo / "double.onnx", tmp_path)
        assert not seat.beat(0.0, 1.0)
        assert (message := await seat.receive()) is not None and message["kind"] == "loaded"
        seat.tell("serve", ready=True)
        assert await seat.receive() == {"kind": "opened"}
        hearing = asyncio.ensure_future(seat.receive())
        await until_heard(seat)
        seat.tell("beat")
        await until_heard(seat)
        assert seat.pid is not None and not seat.silent
        os.kill(seat.pid, signal.SIGSTOP)
        seat.tell("beat")
        assert [seat.beat(1.0, 3.0) for _ in range(3)] == [False, False, True] and seat.silent
        os.kill(seat.pid, signal.SIGCONT)
        while seat.silent:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        seat.replace("the test wants it")
        assert await hearing == {"kind": "leaving"}  # it was asked to end
        os.kill(seat.pid, signal.SIGSTOP)
        seat.tell("beat")
        assert [seat.beat(1.0, 0.0) for _ in range(9)] == [False] * 9 and seat.silent
        seat.replace("it cannot hear")
        assert not seat.beat(1.0, 1.0)  # it hangs no more
        assert await seat.receive() is None and await seat.end() == -9

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    async def run() -> None:
        seat = Seat(1)
        await start(seat, tmp_path / "none.onnx", tmp_path)
        message = await seat.receive()
        assert message is not None and message["kind"] == "failed"
        error = error_of(message)
        assert type(error) is BadArtefact and "none.onnx: no such file" in error.message
        assert await seat.receive() is None and await seat.end() == 0

    asyncio.run(asyncio.wait_for(run(), WAIT_S))
