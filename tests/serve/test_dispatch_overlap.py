"""When the engine loop begins a batch: before answers are written, after them, or at once for who is alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter_ns

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.serve.batcher import Batcher
from gantline.serve.dispatch import INLINE_NS, LONE, Dispatch
from gantline.serve.exchange import Head
from gantline.serve.pace import Choice, Greedy
from gantline.serve.policy import QueuePolicy
from gantline.serve.slo import Slo
from gantline.serve.statistics import Statistics
from gantline.serve.ticket import LEFT, Batch, Ticket

from gantline.errors import DeadlineExceeded, GantlineError
from gantline.packages import Package
from gantline.request import Request
from gantline.tensors import Array

from .dispatch_bench import Bench, Client, on


@pytest.fixture
def open_(zoo: Path) -> Callable[[str], Session]:
    return lambda name: Session.open(Package.bare(zoo / f"{name}.onnx", name))


class Watched:
    """A model's engine that says when each of its runs begins."""

    def __init__(self, session: Session) -> None:
        self.signature = session.engine.signature
        self.begun = [threading.Event() for _ in range(100)]
        self.go_on = threading.Event()
        self.runs = 0
        self._run = session.engine.run

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        self.begun[self.runs].set()
        self.runs += 1
        assert self.go_on.wait(20)
        return self._run(inputs, outputs)

    def close(self) -> None: ...


class Looking(Client):
    """A client that looks, when it is answered, whether the second run has begun, or waits for that."""

    def __init__(self, engine: Watched, waits: bool) -> None:
        super().__init__()
        self.engine, self.waits = engine, waits
        self.saw = False

    def deliver(self, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        super().deliver(ticket, outputs, error)
        self.saw = self.engine.begun[1].wait(20 if self.waits else 0)


@pytest.mark.parametrize(("behind", "early"), [(3, True), (2, True), (1, False)])
def test_the_next_batch_begins_before_answers_are_written_or_after(
    open_: Callable[[str], Session], behind: int, early: bool
) -> None:
    session = open_("double")
    engine = Watched(session)

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        bench.dispatch.overlap.fixed_ns = 10**15  # nothing but as long a queue is reason enough
        first = [bench.ask([[1, 1, 1]], client=Looking(engine, early)) for _ in range(2)]
        await asyncio.get_running_loop().run_in_executor(None, engine.begun[0].wait)
        rest = [bench.ask([[i, i, i]]) for i in range(behind)]
        engine.go_on.set()
        await bench.dispatch.drain()
        assert [c.saw for c in first if isinstance(c, Looking)] == [early, early]
        assert [c.answer[0][0] for c in rest] == [2 * i for i in range(behind)]
        assert bench.statistics.execution_count == 2

    on(Session(session.package, engine), 64, test)


@pytest.mark.parametrize("target_ns", [0, 10**11])
def test_a_thread_goes_on_by_itself(open_: Callable[[str], Session], target_ns: int) -> None:
    """The loop stands still between the batches, and so answers nothing and says nothing; with a target, too."""
    session = open_("double")
    engine = Watched(session)

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        if target_ns:
            bench.batcher.pace, bench.batcher.admission.target_ns = Slo(target_ns), target_ns
        clients = [bench.ask([[1, 1, 1]])]
        await asyncio.get_running_loop().run_in_executor(None, engine.begun[0].wait)
        gone = Client(closed=True)
        clients += [bench.ask([[i, i, i]]) for i in (2, 3)]
        bench.ask([[0, 0, 0]], client=gone)
        engine.go_on.set()
        assert engine.begun[1].wait(20)
        assert not any(c.found for c in clients)
        await bench.dispatch.drain()
        assert [c.answer for c in clients] == [[[2 * i] * 3] for i in (1, 2, 3)]
        assert gone.found == [LEFT] and bench.statistics.cancelled == 1
        assert bench.dispatch.running == 0 and bench.statistics.execution_count == 2

    on(Session(session.package, engine), 64, test)


def test_a_thread_begins_nothing_whose_deadline_has_passed(
    open_: Callable[[str], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_("double")
    engine = Watched(session)
    chosen, choose = threading.Event(), Dispatch._following

    def following(dispatch: Dispatch, last: Batch) -> Batch | None:
        found = choose(dispatch, last)
        chosen.set()
        return found

    monkeypatch.setattr(Dispatch, "_following", following)

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        bench.ask([[1, 1, 1]])
        await asyncio.get_running_loop().run_in_executor(None, engine.begun[0].wait)
        now, late = perf_counter_ns(), Client()
        request = Request({"x": np.ones((1, 3), np.float32)}, arrived=now, queued=now, deadline=now + 1)
        bench.dispatch.submit(Ticket(request, 1, "k", ("y",), None, late, late.deliver, None))  # type: ignore[arg-type]
        engine.go_on.set()
        assert chosen.wait(20), "while the loop stands still, so that its own timer cannot be first"
        await bench.dispatch.drain()
        assert isinstance(late.answer, DeadlineExceeded) and engine.runs == 1

    on(Session(session.package, engine), 64, test)


def test_what_a_batch_took_is_known_when_the_thread_chooses_the_next(open_: Callable[[str], Session]) -> None:
    session = open_("double")
    engine = Watched(session)
    engine.go_on.set()
    told: list[tuple[str, int, bool]] = []

    class Telling(Greedy):
        def __init__(self, batcher: Batcher) -> None:
            super().__init__()
            self._lock = batcher.lock

        def choose(self, now: int, waiting_rows: int, oldest: int, max_rows: int, shape: Hashable) -> Choice:
            told.append(("choose", waiting_rows, self._lock.locked()))
            return super().choose(now, waiting_rows, oldest, max_rows, shape)

        def observe(self, now: int, rows: int, shape: Hashable, run_ns: int) -> None:
            told.append(("observe", rows, self._lock.locked()))

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        bench.batcher.pace = Telling(bench.batcher)
        clients = [bench.ask([[i, i, i]]) for i in range(6)]
        await bench.dispatch.drain()
        assert all(c.found for c in clients)

    on(Session(session.package, engine), 2, test)
    assert told == [(what, rows, True) for waiting in (6, 4, 2) for what, rows in (("choose", waiting), ("observe", 2))]


def test_models_that_share_a_thread_take_turns(open_: Callable[[str], Session]) -> None:
    session = open_("double")
    engine, other = Watched(session), Watched(session)
    ran: list[int] = []

    async def test(bench: Bench) -> None:
        bench.dispatch._pool = pool = ThreadPoolExecutor(1)
        second = Dispatch(Session(session.package, other), Batcher(QueuePolicy(64, 100)), Statistics(), pool)
        for dispatch in (bench.dispatch, second):
            dispatch.batch_ns = INLINE_NS * 10_000
        clients = [bench.ask([[1, 1, 1]])]
        await asyncio.get_running_loop().run_in_executor(None, engine.begun[0].wait)
        clients.append(bench.ask([[2, 2, 2]]))
        client = Client()
        request = Request({"x": np.ones((1, 3), np.float32)})
        second.submit(Ticket(request, 1, "k", ("y",), None, client, client.deliver, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        other.go_on.set()
        engine.go_on.set()
        assert other.begun[0].wait(20)
        ran.append(engine.runs)
        await bench.dispatch.drain()
        await second.drain()
        pool.shutdown()
        assert ran == [1] and engine.runs == 2 and all(c.found for c in [*clients, client])

    on(Session(session.package, engine), 64, test)


def test_drain_waits_for_answers_that_are_still_being_written(
    open_: Callable[[str], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a large batch, in many turns of the loop, while the next ones have run and been answered."""
    monkeypatch.setattr("gantline.serve.dispatch.SLICE_NS", -1)
    session = open_("double")
    engine = Watched(session)

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        bench.dispatch.overlap.fixed_ns = -1
        first = [bench.ask([[1, 1, 1]]) for _ in range(500)]
        await asyncio.get_running_loop().run_in_executor(None, engine.begun[0].wait)
        last = bench.ask([[2, 2, 2]])
        engine.go_on.set()
        await bench.dispatch.drain()
        assert all(c.found for c in first) and last.found
        assert bench.statistics.execution_count == 2

    on(Session(session.package, engine), 1000, test)


def test_as_many_batches_at_once_as_there_are_instances(open_: Callable[[str], Session]) -> None:
    session = open_("double")
    engine = Watched(session)

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        bench.dispatch.instances = 2
        clients = []
        for i in range(2):
            clients.append(bench.ask([[i, i, i]]))
            await asyncio.get_running_loop().run_in_executor(None, engine.begun[i].wait)
        clients += [bench.ask([[i, i, i]]) for i in (2, 3)]
        await asyncio.sleep(0)
        assert len(bench.batcher) == 2 and bench.dispatch.running == 2
        engine.go_on.set()
        await bench.dispatch.drain()
        assert [c.answer for c in clients] == [[[2 * i] * 3] for i in range(4)]
        assert bench.dispatch.running == 0 and engine.runs in (3, 4)

    on(Session(session.package, engine), 64, test)


def test_parts_of_a_large_request_that_end_in_another_order(open_: Callable[[str], Session]) -> None:
    session = open_("double")
    last = threading.Event()

    class Slow(Watched):
        def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
            if inputs["x"][0, 0] == 0:
                assert last.wait(20)
            found = self._run(inputs, outputs)
            if inputs["x"][-1, 0] == 9:
                last.set()
            return found

    async def test(bench: Bench) -> None:
        bench.dispatch.batch_ns = INLINE_NS * 10_000
        bench.dispatch.instances = 2
        rows = np.repeat(np.arange(10, dtype=np.float32), 3).reshape(10, 3)
        client = bench.ask(rows)
        await bench.dispatch.drain()
        assert client.answer == (2 * rows).tolist()
        assert bench.statistics.execution_count == 3

    on(Session(session.package, Slow(session)), 4, test)


def test_who_is_alone_is_answered_at_once(open_: Callable[[str], Session], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantline.serve.dispatch.INLINE_NS", 10**15)  # a busy machine may hold any run up

    async def test(bench: Bench) -> None:
        dispatch = bench.dispatch

        def ask(head: Head, value: float) -> Client:
            client = Client()
            request = Request({"x": np.full((1, 3), value, np.float32)}, queued=perf_counter_ns())
            dispatch.submit_lone(Ticket(request, 1, "k", ("y",), head, client, client.deliver, None))
            return client

        own, other = Head(b"POST", b"/", b"", []), Head(b"POST", b"/", b"", [])
        own.in_turn = True
        at_once = []
        for i in range(LONE + 3):
            client = ask(own, i)
            at_once.append(bool(client.found))
            await dispatch.drain()
            assert client.answer == [[2 * i] * 3]
        assert at_once == [False] * (LONE - 1) + [True] * 4
        assert not ask(other, 1).found, "its connection may have sent others"
        assert not ask(own, 1).found, "not while another waits"
        await dispatch.drain()
        dispatch.batch_ns = 10**17
        assert not ask(own, 1).found, "not when the model takes its time"
        await dispatch.drain()
        assert bench.statistics.execution_count == LONE + 5

    on(open_("double"), 64, test)
