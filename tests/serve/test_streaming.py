"""answers(): one for an ordinary model, any number for a script that yields; counted, stopped and timed out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.serve.admission import ByteBudget
from gantline.serve.control import Control
from gantline.serve.core import Core
from gantline.serve.exchange import Head
from gantline.serve.model import Model
from gantline.serve.repository import Repository
from gantline.serve.shared_memory import SharedMemory
from gantline.serve.streaming import Outputs, answers

import gantline
from gantline.errors import BadRequest, DeadlineExceeded, EngineFailed, ScriptFailed, Unsupported
from gantline.packages import Package
from gantline.request import Request, RequestedOutput

SCRIPT = """
import numpy as np
import time

INPUTS = {"n": ("INT64", [1])}
OUTPUTS = {"i": ("INT64", [1]), "twice": ("INT64", [1])}

def infer(inputs):
    n = int(inputs["n"][0])
    if n < 0:
        time.sleep(-n)
    for i in range(n):
        yield {"i": np.array([i]), "twice": np.array([2 * i])}
    if n == 3:
        raise ValueError
"""


class Desk:
    def __init__(self, session: Session) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.core = Core(
            Repository([]), 1 << 20, self.pool, SharedMemory(False, 1 << 20, Control()), ByteBudget(1 << 20)
        )
        self.model = Model(session, "m", "1", self.pool)

    def ask(self, request: Request, *headers: tuple[bytes, bytes]) -> AsyncGenerator[Outputs, None]:
        return answers(self.core, self.model, request, Head(b"POST", b"/", b"", list(headers)))

    def count(self, n: int, **more: Any) -> AsyncGenerator[Outputs, None]:
        return self.ask(Request({"n": np.array([n])}, **more))


def on(session: Session, test: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        desk = Desk(session)
        try:
            await asyncio.wait_for(test(desk), 30)
        finally:
            desk.pool.shutdown()
            if (host := getattr(session.engine, "host", None)) is not None:
                host.detach()

    asyncio.run(run())


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("yielding")
    (folder / "score.py").write_text(SCRIPT)
    session = Session.open(gantline.package(script=folder / "score.py", name="m", output=folder / "m.pkg"))
    yield session
    session.close()


def test_any_number_of_answers(script: Session) -> None:
    async def test(desk: Desk) -> None:
        found = [[(name, a.tolist()) for name, a in one] async for one in desk.count(2)]
        assert found == [[("i", [0]), ("twice", [0])], [("i", [1]), ("twice", [2])]]
        assert [one async for one in desk.count(0)] == []
        asked = [RequestedOutput("twice")]
        assert [[name for name, _ in one] async for one in desk.count(1, outputs=asked)] == [["twice"]]
        stats = desk.model.statistics.to_json("m", "1")
        assert stats["inference_stats"]["success"]["count"] == 3 and stats["inference_count"] == 3
        responses = stats["response_stats"]
        assert responses["0"]["success"]["count"] == 2 and responses["0"]["empty_response"]["count"] == 1
        assert responses["1"]["success"]["count"] == 1

    on(script, test)


def test_what_goes_wrong(script: Session) -> None:
    async def test(desk: Desk) -> None:
        for request, words in (
            (Request({}), "input 'n' is missing"),
            (Request({"n": np.array([1])}, outputs=[RequestedOutput("no")]), "unexpected output 'no'"),
        ):
            with pytest.raises(BadRequest, match=words):
                await anext(desk.ask(request))
        with pytest.raises(BadRequest, match="x-gantline-timeout-ms"):
            await anext(desk.ask(Request({"n": np.array([1])}), (b"x-gantline-timeout-ms", b"soon")))
        found = []
        with pytest.raises(ScriptFailed):
            async for one in desk.count(3):
                found.append(one)
        assert len(found) == 3 and desk.model.statistics.fail_count == 4
        assert desk.model.statistics.responses[3]["fail"].count == 1
        with pytest.raises(Unsupported, match="generate_stream"):
            desk.core.submit(desk.model, Request({}), Head(b"POST", b"/", b"", []), None, lambda *_: None, 1)  # type: ignore[arg-type]

    on(script, test)


def test_a_deadline_ends_a_stream_and_a_reader_that_leaves_cancels_it(script: Session) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(DeadlineExceeded, match="the deadline "):
            await anext(desk.count(-2, parameters={"timeout": 200_000}))
        with pytest.raises(DeadlineExceeded):
            await anext(desk.ask(Request({"n": np.array([-2])}), (b"x-gantline-timeout-ms", b"200")))
        async with aclosing(desk.count(1_000_000)) as stream:
            await anext(stream)
        assert desk.model.statistics.cancelled == 1
        host: Any = desk.model.session.engine
        async with asyncio.timeout(25):  # the sleeping steps end first
            await host.host.drain()

    on(script, test)


def test_an_ordinary_model_gives_exactly_one(zoo: Path) -> None:
    async def test(desk: Desk) -> None:
        ((named,),) = [[one async for one in desk.ask(Request({"x": np.array([1, 3])}))]]
        assert [(n, a.tolist()) for n, a in named] == [("y", [10.0, 30.0])]
        with pytest.raises(EngineFailed):
            await anext(desk.ask(Request({"x": np.array([9])})))
        with pytest.raises(BadRequest):
            await anext(desk.ask(Request({"z": np.array([9])})))
        assert (desk.model.statistics.success_count, desk.model.statistics.fail_count) == (1, 2)
        gate = threading.Event()
        for _ in range(2):  # every thread is taken, so that the first runs no further, and the second waits
            desk.pool.submit(gate.wait, 20)
        desk.model.dispatch.batch_ns = 10**12
        first, second = (asyncio.ensure_future(anext(desk.ask(Request({"x": np.array([1])})))) for _ in range(2))
        async with asyncio.timeout(20):
            while not len(desk.model.batcher):  # noqa: ASYNC110  # until both are there
                await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        gate.set()
        assert (await first)[0][1].tolist() == [10.0]
        await desk.model.dispatch.drain()
        assert desk.model.statistics.cancelled == 1

    on(Session.open(Package.bare(zoo / "lookup.onnx", "lookup")), test)
