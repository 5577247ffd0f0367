"""Runner: a batch's results, one for each of its requests. What a server makes of them: test_dispatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.serve.assembly import Assembly
from gantline.serve.runner import Runner
from gantline.serve.ticket import Batch, Ticket

from gantline.errors import EngineFailed, GantlineError
from gantline.packages import Package
from gantline.request import Request
from gantline.tensors import Array

from .dispatch_bench import Client


@pytest.fixture
def session(zoo: Path) -> Session:
    return Session.open(Package.bare(zoo / "double.onnx", "double"))


class Touchy:
    """The same model, but a row of nines breaks it."""

    def __init__(self, session: Session) -> None:
        self.signature = session.engine.signature
        self._run = session.engine.run

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        if (inputs["x"] == 9).any():
            raise SystemError("nine")
        return self._run(inputs, outputs)

    def close(self) -> None: ...


def ticket(*rows: float) -> Ticket:
    client = Client()
    array = np.repeat(np.array(rows, np.float32), 3).reshape(len(rows), 3)
    return Ticket(Request({"x": array}), len(rows), "k", ("y",), None, client, client.deliver, None)  # type: ignore[arg-type]


def batch(*tickets: Ticket, start: int = 0, stop: int = 0) -> Batch:
    stop = stop or tickets[0].rows
    return Batch(list(tickets), start, stop, stop - start + sum(t.rows for t in tickets[1:]), "idle")


def first(results: Sequence[list[Array] | GantlineError]) -> list[list[float] | str]:
    """The first column of each result, or the name of its error."""
    return [type(r).__name__ if isinstance(r, GantlineError) else r[0][:, 0].tolist() for r in results]


def test_each_has_its_own_rows_and_the_batch_is_told_what_it_took(session: Session) -> None:
    runner = Runner(session, Assembly(), pytest.fail)
    both = batch(ticket(1, 2), ticket(3))
    assert first(runner.run(both)) == [[2, 4], [6]]
    assert all(ns > 0 for ns in both.times)
    one = batch(ticket(1, 2))
    assert first(runner.run(one)) == [[2, 4]] and one.times[1] > 0


def test_a_piece_of_a_large_request_with_others(session: Session) -> None:
    runner = Runner(session, Assembly(), pytest.fail)
    assert first(runner.run(batch(ticket(0, 1, 2, 3), ticket(5), start=1, stop=3))) == [[2, 4], [10]]


def test_only_the_guilty_ones_fail(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    runner = Runner(Session(session.package, Touchy(session)), Assembly(), pytest.fail)
    several = batch(*(ticket(value) for value in (1, 9, 3, 4, 5)))
    assert first(runner.run(several)) == [[2], "EngineFailed", [6], [8], [10]]
    assert several.times[1] > 0 and "the engine raised" in caplog.text
    assert first(runner.run(batch(ticket(9, 9)))) == ["EngineFailed"]


def test_outputs_that_do_not_follow_rows(zoo: Path) -> None:
    session = Session.open(Package.bare(zoo / "positive.onnx", "positive"))
    tickets = [ticket(), ticket()]
    for one, values in zip(tickets, ([1, -1], [-2]), strict=True):
        one.request.inputs["x"], one.rows = np.array(values, np.float32), len(values)
    said: list[bool] = []
    results = Runner(session, Assembly(), lambda: said.append(True)).run(batch(*tickets))
    assert said == [True] and [r[0].tolist() for r in results if isinstance(r, list)] == [[1], []]


def test_a_thread_that_ends_takes_nobody_along(session: Session) -> None:
    runner = Runner(session, Assembly(), pytest.fail)
    results = runner.failed(batch(ticket(1), ticket(2)), SystemExit(1))
    assert len(results) == 2 and all(isinstance(r, EngineFailed) and "SystemExit" in str(r) for r in results)
