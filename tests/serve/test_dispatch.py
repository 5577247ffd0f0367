"""The engine loop of one model, on real sessions: batches, their failures, and clients that are gone."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.serve.dispatch import INLINE_NS
from gantline.serve.ticket import LEFT, Ticket

from gantline.errors import EngineFailed, GantlineError, Unavailable
from gantline.packages import Package
from gantline.signature import Signature
from gantline.tensors import Array

from .dispatch_bench import Bench, Client, on


@pytest.fixture
def open_(zoo: Path) -> Callable[[str], Session]:
    return lambda name: Session.open(Package.bare(zoo / f"{name}.onnx", name))


@pytest.fixture(params=["inline", "thread"])
def way(request: pytest.FixtureRequest) -> int:
    """What a batch is expected to take, in ns: little, or too much for the loop."""
    return 0 if request.param == "inline" else INLINE_NS * 10_000


def test_batched_answers_equal_single_ones(open_: Callable[[str], Session], way: int) -> None:
    session = open_("double")
    rows = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = way
        clients = [bench.ask(rows[a:b]) for a, b in ((0, 1), (1, 4), (4, 4), (4, 9), (9, 10))]
        await bench.dispatch.drain()
        got = [row for c in clients for row in c.answer]
        assert got == session.run({"x": rows})[0].tolist()
        assert [len(c.answer) for c in clients] == [1, 3, 0, 5, 1]
        assert (bench.statistics.execution_count, bench.statistics.inference_count) == (1, 10)
        ran = (bench.dispatch.inline_batches, bench.dispatch.thread_batches)
        assert ran == ((1, 0) if way == 0 else (0, 1))

    on(session, 64, test)


def test_where_batches_run_is_learned(open_: Callable[[str], Session]) -> None:
    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 2
        while not bench.dispatch.inline_batches:  # a busy machine may hold up some
            bench.ask([[1, 2, 3]])
            await bench.dispatch.drain()
        assert bench.dispatch.thread_batches >= 1

    on(open_("double"), 64, test)


def test_the_guilty_one_in_a_batch_pays_alone(open_: Callable[[str], Session], way: int) -> None:
    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = way
        clients = [bench.ask(v, np.int64) for v in ([1], [2, 9], [3, 0])]
        await bench.dispatch.drain()
        assert clients[0].answer == [10] and clients[2].answer == [30, 0]
        assert isinstance(clients[1].answer, EngineFailed)
        said = str(clients[1].answer)
        assert said.startswith("model 'lookup' failed: ") and "out of data bounds" in said and "\n" not in said
        again = bench.ask([2], np.int64)
        await bench.dispatch.drain()
        assert again.answer == [20]

    on(open_("lookup"), 64, test)


def test_outputs_that_do_not_follow_rows_end_stacking(
    open_: Callable[[str], Session], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(bench: Bench) -> None:
        clients = [bench.ask(v) for v in ([1, -1], [-2], [3, 4])]
        await bench.dispatch.drain()
        assert [c.answer for c in clients] == [[1], [], [3, 4]]
        assert bench.batcher.max_rows == 0
        clients = [bench.ask(v) for v in ([5, -5], [6])]
        await bench.dispatch.drain()
        assert [c.answer for c in clients] == [[5], [6]] and bench.statistics.execution_count == 3

    on(open_("positive"), 64, test)
    assert "batching is off" in caplog.text


def test_more_rows_than_the_model_takes_go_in_slices(open_: Callable[[str], Session]) -> None:
    sizes: list[int] = []
    session = open_("lookup")
    run = session.engine.run

    class Counting:
        signature = session.engine.signature

        def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
            sizes.append(len(inputs["x"]))
            return run(inputs, outputs)

        def close(self) -> None: ...

    async def test(bench: Bench) -> None:
        client = bench.ask([0, 1, 2, 3, 0, 1, 2, 3, 0, 1], np.int64)
        small = bench.ask([3], np.int64)
        await bench.dispatch.drain()
        assert client.answer == [0, 10, 20, 30, 0, 10, 20, 30, 0, 10] and small.answer == [30]
        assert sizes == [4, 4, 3]  # the last part has company

    on(Session(session.package, Counting()), 4, test)


def test_slices_of_a_model_whose_outputs_do_not_follow_are_not_joined(open_: Callable[[str], Session]) -> None:
    async def test(bench: Bench) -> None:
        client = bench.ask([1, -1, 2, -2, 3, -3])
        await bench.dispatch.drain()
        assert client.answer == [1, 2, 3] and bench.batcher.max_rows == 0

    on(open_("positive"), 4, test)


def test_a_client_that_is_gone_costs_nothing(open_: Callable[[str], Session], way: int) -> None:
    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = way
        gone = [bench.ask([[9, 9, 9]], client=Client(closed=True)) for _ in range(3)]
        here = bench.ask([[1, 2, 3]])
        await bench.dispatch.drain()
        assert here.answer == [[2, 4, 6]] and [c.found for c in gone] == [[LEFT]] * 3
        assert (bench.statistics.inference_count, bench.statistics.cancelled) == (1, 3)
        bench.ask([[9, 9, 9]], client=Client(closed=True))
        await bench.dispatch.drain()
        assert bench.statistics.execution_count == 1

    on(open_("double"), 64, test)


def test_requests_gather_while_a_batch_runs(open_: Callable[[str], Session]) -> None:
    """The next batch is whoever came meanwhile."""
    session = open_("double")
    began, go_on = threading.Event(), threading.Event()
    run = session.engine.run

    class Held:
        signature = session.engine.signature

        def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
            began.set()
            assert go_on.wait(20)
            return run(inputs, outputs)

        def close(self) -> None: ...

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        first = bench.ask([[1, 1, 1]])
        await asyncio.get_running_loop().run_in_executor(None, began.wait)
        rest = [bench.ask([[i, i, i]]) for i in range(5)]
        assert len(bench.batcher) == 5 and not first.found
        go_on.set()
        await bench.dispatch.drain()
        assert [c.answer[0][0] for c in rest] == [0, 2, 4, 6, 8]
        assert bench.statistics.execution_count == 2

    on(Session(session.package, Held()), 64, test)


class Broken:
    """An engine with a fault of its own for some inputs."""

    signature = Signature((), ())

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        if (inputs["x"] < 0).any():
            raise ZeroDivisionError("secret")
        return [inputs["x"]]

    def close(self) -> None: ...


def test_an_engine_that_raises_anything(
    open_: Callable[[str], Session], way: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = way
        clients = [bench.ask(v) for v in ([1], [-1], [2])]
        await bench.dispatch.drain()
        assert clients[0].answer == [1] and clients[2].answer == [2]
        assert isinstance(clients[1].answer, EngineFailed)
        assert "secret" not in str(clients[1].answer) and "ZeroDivisionError" in str(clients[1].answer)

    with caplog.at_level(logging.CRITICAL, "gantline.dispatch"):
        on(Session(open_("double").package, Broken()), 64, test)


def test_an_answer_that_cannot_be_delivered_stops_nobody(
    open_: Callable[[str], Session], caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Client):
        def deliver(self, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
            raise RuntimeError("the codec is broken")

    async def test(bench: Bench) -> None:
        bad = bench.ask([[1, 2, 3]], client=Bad())
        good = bench.ask([[1, 2, 3]])
        await bench.dispatch.drain()
        later = bench.ask([[1, 2, 3]])
        await bench.dispatch.drain()
        assert good.answer == later.answer == [[2, 4, 6]] and bad.found == []

    with caplog.at_level(logging.CRITICAL, "gantline.dispatch"):
        on(open_("double"), 64, test)


def test_a_pool_that_was_shut_down(open_: Callable[[str], Session]) -> None:
    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        bench.pool.shutdown()
        client = bench.ask([[1, 2, 3]])
        await bench.dispatch.drain()
        assert isinstance(client.answer, Unavailable)

    on(open_("double"), 64, test)


def test_work_that_was_cancelled_in_the_pool(open_: Callable[[str], Session]) -> None:
    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        release = threading.Event()
        for _ in range(2):
            bench.pool.submit(release.wait)
        client = bench.ask([[1, 2, 3]])
        await asyncio.sleep(0)
        bench.pool.shutdown(wait=False, cancel_futures=True)
        release.set()
        await bench.dispatch.drain()
        assert isinstance(client.answer, Unavailable)

    on(open_("double"), 64, test)


def test_a_full_queue(open_: Callable[[str], Session]) -> None:
    async def test(bench: Bench) -> None:
        clients = [bench.ask([[1, 2, 3]]) for _ in range(2)]
        with pytest.raises(Unavailable):
            bench.ask([[1, 2, 3]])
        await bench.dispatch.drain()
        assert [c.answer for c in clients] == [[[2, 4, 6]]] * 2

    on(open_("double"), 64, test, queue=2)


def test_drain_of_an_idle_model_is_immediate(open_: Callable[[str], Session]) -> None:
    async def test(bench: Bench) -> None:
        await bench.dispatch.drain()
        assert bench.ask([[1, 2, 3]]).found == []
        await bench.dispatch.drain()

    on(open_("double"), 0, test)
