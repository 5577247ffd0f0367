"""Deadlines, and clients that leave, at each stage: queued, held back, in a batch, and while answers are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import WAIT_S, Answer, Running
from .held_engine import Held, hold

PATH = "/v2/models/double/infer"


@pytest.fixture
def held(servers: Callable[..., Running], zoo: Path) -> tuple[Running, Held]:
    """A server whose model runs, on a thread, only when the test lets it."""
    server = servers(zoo / "double.onnx")
    return server, hold(server, "double")


def ask(server: Running, value: float, *headers: str, **parameters: Any) -> Any:
    """Send a request on a connection of its own, and keep the connection."""
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [value] * 3}]}
    if parameters:
        document["parameters"] = parameters  # type: ignore[assignment]
    s = server.connect()
    s.sendall(server.post(PATH, json.dumps(document).encode(), *headers))
    return s


def answer(server: Running, connection: Any) -> Answer:
    with connection:
        return server.read_answer(connection)


def values(found: Answer) -> list[float]:
    assert found.status == 200, found.body
    return list(found.json()["outputs"][0]["data"])


def waiting(server: Running) -> int:
    return len(server.stack.repository.find("double").batcher)


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [(["x-gantline-timeout-ms: 20"], {}), ([], {"timeout": 20_000})],
    ids=["header", "parameter"],
)
def test_a_late_request_is_answered_although_the_engine_is_busy(
    held: tuple[Running, Held], headers: list[str], parameters: dict[str, Any]
) -> None:
    """The engine never comes free: whoever is late hears so from the queue, and does not run."""
    server, engine = held
    first = ask(server, 1)
    assert engine.began.wait(WAIT_S)
    late = answer(server, ask(server, 2, *headers, **parameters))
    assert late.status == 504 and "model 'double': the deadline " in late.json()["error"]
    assert waiting(server) == 0
    engine.go_on.set()
    assert values(answer(server, first)) == [2] * 3
    assert engine.rows == [1]


def test_a_late_request_is_answered_while_it_runs(held: tuple[Running, Held]) -> None:
    server, engine = held
    asked = 0
    for timeout_ms in (200, 2000, 15_000):  # a busy machine may take the shorter ones to get it to the engine
        late = answer(server, ask(server, 2, f"x-gantline-timeout-ms: {timeout_ms}"))
        asked += 1
        assert late.status == 504 and not engine.go_on.is_set()
        if engine.began.is_set():
            break
    assert engine.began.is_set(), "it was late in the queue"
    engine.go_on.set()
    assert values(answer(server, ask(server, 3))) == [6] * 3
    statistics = server.stack.repository.find("double").statistics
    assert statistics.to_json("double", "1")["inference_stats"]["fail"]["count"] == asked


def test_the_models_own_deadline(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx", deadline_s=0.02)
    engine = hold(server, "double")
    assert answer(server, ask(server, 1)).status == 504
    engine.go_on.set()
    assert values(answer(server, ask(server, 3, "x-gantline-timeout-ms: 60000"))) == [6] * 3


def test_a_header_that_makes_no_sense(server: Running) -> None:
    found = answer(server, ask(server, 1, "x-gantline-timeout-ms: soon"))
    assert found.status == 400 and "x-gantline-timeout-ms is 'soon'" in found.json()["error"]


def test_who_leaves_the_queue_runs_not_and_harms_nobody(held: tuple[Running, Held]) -> None:
    server, engine = held
    first = ask(server, 1)
    assert engine.began.wait(WAIT_S)
    before, leaver, after = ask(server, 2), ask(server, 3), ask(server, 4)
    server.until(lambda: waiting(server) == 3)
    gone = server.on_loop(lambda: len(server.connections))
    leaver.setsockopt(*_ABORT)
    leaver.close()
    server.until(lambda: len(server.connections) < gone)
    engine.go_on.set()
    assert [values(answer(server, one))[0] for one in (first, before, after)] == [2, 4, 8]
    assert engine.rows == [1, 2]
    assert server.stack.repository.find("double").statistics.cancelled == 1


def test_who_leaves_a_batch_harms_nobody(held: tuple[Running, Held]) -> None:
    server, engine = held
    first = ask(server, 1)
    assert engine.began.wait(WAIT_S)
    others = [ask(server, 2), ask(server, 3), ask(server, 4)]
    server.until(lambda: waiting(server) == 3)
    model = server.stack.repository.find("double")
    engine.let_one_go()  # the three are in a batch now
    gone = server.on_loop(lambda: len(server.connections))
    others[1].setsockopt(*_ABORT)
    others[1].close()
    server.until(lambda: len(server.connections) < gone)
    engine.go_on.set()
    assert values(answer(server, first)) == [2] * 3
    assert [values(answer(server, others[i]))[0] for i in (0, 2)] == [4, 8]
    assert engine.rows == [1, 3] and len(model.batcher) == 0


def test_who_leaves_while_answers_are_written_harms_nobody(held: tuple[Running, Held]) -> None:
    """The second's connection breaks as the first one's answer is delivered: it is next in the same turn."""
    server, engine = held
    model = server.stack.repository.find("double")
    first = ask(server, 1)
    assert engine.began.wait(WAIT_S)
    others = [ask(server, 2), ask(server, 3), ask(server, 4)]
    server.until(lambda: waiting(server) == 3)

    def break_second() -> None:
        tickets = list(model.batcher._main)
        deliver = tickets[0].deliver
        assert deliver is not None

        def and_break(*result: Any) -> None:
            tickets[1].responder.protocol.transport.abort()
            tickets[1].responder.lost()
            deliver(*result)

        tickets[0].deliver = and_break

    server.on_loop(break_second)
    engine.go_on.set()
    assert values(answer(server, first)) == [2] * 3
    assert [values(answer(server, others[i]))[0] for i in (0, 2)] == [4, 8]
    others[1].close()


def test_long_deliveries_let_others_have_a_turn(
    servers: Callable[..., Running], zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With slices of no length, every few answers the loop goes round, and still each is answered once."""
    monkeypatch.setattr("gantline.serve.dispatch.SLICE_NS", 0)
    server = servers(zoo / "double.onnx")
    with server.connect() as s:
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
        others = [server.connect() for _ in range(30)]
        for one in others:
            one.sendall(server.post(PATH, body))
        for one in others:
            assert values(answer(server, one)) == [2, 4, 6]
        s.sendall(server.post(PATH, body))
        assert values(server.read_answer(s)) == [2, 4, 6]


def repository(root: Path, zoo: Path, delay_us: int) -> Path:
    (root / "double" / "1").mkdir(parents=True)
    (root / "double" / "1" / "model.onnx").hardlink_to(zoo / "double.onnx")
    text = f"max_batch_size: 4 dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}"
    (root / "double" / "config.pbtxt").write_text(text)
    return root


def test_a_delay_holds_back_until_a_batch_is_full(servers: Callable[..., Running], zoo: Path, tmp_path: Path) -> None:
    server = servers(repository(tmp_path, zoo, 60_000_000))
    model = server.stack.repository.find("double")
    three = [ask(server, i) for i in (1, 2, 3)]
    server.until(lambda: len(model.batcher) == 3)
    assert model.statistics.execution_count == 0
    fourth = ask(server, 4)
    assert [values(answer(server, one))[0] for one in (*three, fourth)] == [2, 4, 6, 8]
    assert model.statistics.execution_count == 1 and [d.reason for d in model.batcher.decisions] == ["full"]


def test_a_delay_runs_out(servers: Callable[..., Running], zoo: Path, tmp_path: Path) -> None:
    server = servers(repository(tmp_path, zoo, 1000))
    assert values(answer(server, ask(server, 1))) == [2] * 3
    assert [d.reason for d in server.stack.repository.find("double").batcher.decisions] == ["delay"]


_ABORT = (1, 13, b"\1\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER: on, for no time: close() sends a reset
