"""Sequences on a real model that adds up what it is sent: state that stays in the server, in order, side by side."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gantline
from tests.sequence_model import write_sequence_model

from .conftest import Answer, Running
from .held_engine import Held, hold

CONFIG = """
name: "sum"
max_batch_size: {rows}
sequence_batching {{
  max_sequence_idle_microseconds: {idle}
  control_input {{ name: "start" control {{ kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] }} }}
  control_input {{ name: "id" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 }} }}
  state {{ input_name: "sum_in" output_name: "sum_out" data_type: TYPE_FP32 dims: 1 {initial} }}
  oldest {{ max_candidate_sequences: {most} }}
}}
"""


def repository(root: Path, rows: int = 8, idle: int = 60_000_000, initial: str = "", most: int = 64) -> Path:
    """y = x + sum so far (0 at a start), and the sequence's id beside it."""
    (root / "sum" / "1").mkdir(parents=True)
    write_sequence_model(root / "sum" / "1" / "model.onnx", bool(rows))
    text = CONFIG.format(rows=rows, idle=idle, initial=initial, most=most)
    (root / "sum" / "config.pbtxt").write_text(text)
    return root


def ask(server: Running, x: float, shape: list[int] | None = None, **parameters: Any) -> Answer:
    tensor = {"name": "x", "datatype": "FP32", "shape": shape or [1, 1], "data": [x] * (shape or [1])[0]}
    document = {"inputs": [tensor], "parameters": parameters}
    (answer,) = server.ask(server.post("/v2/models/sum/infer", document))
    return answer


def y(answer: Answer) -> float:
    assert answer.status == 200, answer.body
    return float(next(o for o in answer.json()["outputs"] if o["name"] == "y")["data"][0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, servers: Callable[..., Running]) -> Running:
    return servers(repository(tmp_path_factory.mktemp("sequences")))


def test_the_state_goes_on_and_clients_do_not_see_it(server: Running) -> None:
    first = ask(server, 1, sequence_id=7, sequence_start=True)
    assert [o["name"] for o in first.json()["outputs"]] == ["y", "begun", "who"]
    assert [o["data"] for o in first.json()["outputs"]] == [[1.0], [1.0], [7]]
    second = ask(server, 2, sequence_id=7)
    assert [o["data"] for o in second.json()["outputs"]] == [[3.0], [0.0], [7]]
    assert y(ask(server, 10, sequence_id=7, sequence_end=True)) == 13
    late = ask(server, 1, sequence_id=7)
    assert late.status == 400 and "sequence 7 is not open" in late.json()["error"]
    (metadata,) = server.ask(server.get("/v2/models/sum"))
    assert [t["name"] for t in metadata.json()["inputs"]] == ["x"]


def test_a_start_begins_anew(server: Running) -> None:
    assert [y(ask(server, 5, sequence_id=71, sequence_start=True)) for _ in range(2)] == [5, 5]


@pytest.mark.parametrize(
    ("shape", "parameters", "said"),
    [
        ([1, 1], {}, "model 'sum' keeps sequences: give parameter 'sequence_id'"),
        ([1, 1], {"sequence_id": 99}, "sequence 99 is not open; its first request has 'sequence_start'"),
        ([2, 1], {"sequence_id": 98, "sequence_start": True}, "a request has one row, this one 2"),
        ([1, 1], {"sequence_id": 1 << 63, "sequence_start": True}, "does not fit int64"),
        ([1, 1], {"sequence_id": "b", "sequence_start": True}, "its sequence ids are numbers, not 'b'"),
    ],
)
def test_what_is_wrong_is_said(server: Running, shape: list[int], parameters: dict[str, Any], said: str) -> None:
    answer = ask(server, 1, shape, **parameters)
    assert answer.status == 400 and said in answer.json()["error"]


def test_many_at_once_keep_their_own_sums(server: Running) -> None:
    """Requests of one sequence are sent one after another; those of 16 sequences meet in batches."""

    def run(sequence: int) -> list[float]:
        found = []
        with server.connect() as s:
            for i in range(30):
                tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [sequence]}
                parameters = {"sequence_id": sequence, "sequence_start": i == 0, "sequence_end": i == 29}
                document = {"inputs": [tensor], "parameters": parameters}
                s.sendall(server.post("/v2/models/sum/infer", document))
                found.append(y(server.read_answer(s)))
        return found

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(run, range(1000, 1016)))
    assert found == [[float(s * (i + 1)) for i in range(30)] for s in range(1000, 1016)]
    sequences = server.stack.repository.find("sum").sequences
    assert sequences is not None and server.on_loop(lambda: 1000 not in sequences._open)


def test_pipelined_requests_of_one_sequence_run_in_order(server: Running) -> None:
    """They are all there before the first has run."""
    bodies = b"".join(
        server.post(
            "/v2/models/sum/infer",
            {
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}],
                "parameters": {"sequence_id": 55, "sequence_start": i == 0},
            },
        )
        for i in range(10)
    )
    barrier = threading.Barrier(2)

    def other() -> list[float]:
        barrier.wait(20)
        return [y(a) for a in server.ask(bodies.replace(b": 55", b": 56"))]

    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(other)
        barrier.wait(20)
        assert [y(a) for a in server.ask(bodies)] == [float(i) for i in range(1, 11)]
        assert beside.result(20) == [float(i) for i in range(1, 11)]


def test_without_a_batch_dimension(tmp_path: Path, servers: Callable[..., Running]) -> None:
    server = servers(repository(tmp_path, rows=0))
    assert [y(ask(server, 2, [1], sequence_id=1, sequence_start=i == 0)) for i in range(3)] == [2, 4, 6]


def test_idle_sequences_end_and_open_ones_are_bounded(tmp_path: Path, servers: Callable[..., Running]) -> None:
    server = servers(repository(tmp_path, idle=1, most=2))
    sequences = server.stack.repository.find("sum").sequences
    assert sequences is not None
    for i in range(1, 6):  # each finds the one before it idle
        assert y(ask(server, 1, sequence_id=i, sequence_start=True)) == 1
    assert server.on_loop(lambda: len(sequences)) <= 2
    answer = ask(server, 1, sequence_id=5)
    assert answer.status == 400 and "no more than 1e-06 s may pass" in answer.json()["error"]


def test_too_many_sequences(tmp_path: Path, servers: Callable[..., Running]) -> None:
    server = servers(repository(tmp_path, most=2))
    assert [ask(server, 1, sequence_id=i, sequence_start=True).status for i in (1, 2, 3)] == [200, 200, 503]
    assert y(ask(server, 1, sequence_id=1, sequence_end=True)) == 2
    assert ask(server, 1, sequence_id=3, sequence_start=True).status == 200


def test_a_package_may_keep_sequences(tmp_path: Path, servers: Callable[..., Running]) -> None:
    says = {
        "states": {"sum_in": "sum_out"}, "initial": {"sum_in": 100.0}, "controls": {"start": "START", "id": "CORRID"},
        "idle_s": 60.0, "max_sequences": 2,
    }  # fmt: skip
    model = repository(tmp_path / "models") / "sum" / "1" / "model.onnx"
    sample = {n: np.ones((3, 1), np.float32) for n in ("x", "start", "sum_in")} | {"id": np.ones((3, 1), np.int64)}
    gantline.package(model, name="sum", sample=sample, sequences=says, output=tmp_path / "sum.pkg")
    server = servers(tmp_path / "sum.pkg")
    first = ask(server, 1, sequence_id=7, sequence_start=True)
    assert [o["data"] for o in first.json()["outputs"]] == [[101.0], [1.0], [7]]
    assert y(ask(server, 5, sequence_id=8, sequence_start=True)) == 105
    assert y(ask(server, 2, sequence_id=7)) == 103
    assert ask(server, 1, sequence_id=9, sequence_start=True).status == 503
    assert y(ask(server, 10, sequence_id=7, sequence_end=True)) == 113
    assert ask(server, 1).status == 400
    (metadata,) = server.ask(server.get("/v2/models/sum"))
    assert [t["name"] for t in metadata.json()["inputs"]] == ["x"]


def test_the_bound_is_the_server_s_and_not_each_worker_s(tmp_path: Path, servers: Callable[..., Running]) -> None:
    server = servers(repository(tmp_path / "models", most=4))
    server.on_loop(lambda: server.stack.loader.affinity.join(tmp_path, 1, 2))
    assert [ask(server, 1, sequence_id=n, sequence_start=True).status for n in (2, 4, 6)] == [200, 200, 503]
    assert ask(server, 1, sequence_id=2, sequence_end=True).status == 200
    assert ask(server, 1, sequence_id=6, sequence_start=True).status == 200


def test_an_initial_state_from_a_file(tmp_path: Path, servers: Callable[..., Running]) -> None:
    import numpy as np

    initial = 'initial_state { name: "hundred" data_type: TYPE_FP32 dims: 1 data_file: "hundred" }'
    root = repository(tmp_path, initial=initial)
    (root / "sum" / "initial_state").mkdir()
    (root / "sum" / "initial_state" / "hundred").write_bytes(np.float32(100).tobytes())
    assert y(ask(servers(root), 1, sequence_id=1, sequence_start=True)) == 101


def test_a_failure_leaves_the_sequence_as_it_was(server: Running) -> None:
    assert y(ask(server, 1, sequence_id=70, sequence_start=True)) == 1
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [5]}]}
    document |= {"parameters": {"sequence_id": 70}, "outputs": [{"name": "none"}]}  # type: ignore[dict-item]
    (answer,) = server.ask(server.post("/v2/models/sum/infer", json.dumps(document).encode()))
    assert answer.status == 400
    assert y(ask(server, 1, sequence_id=70)) == 2


def pipelined(server: Running, sequence: int, *flags: dict[str, Any], headers: tuple[str, ...] = ()) -> list[Answer]:
    """Requests of one sequence on connections of their own, each sent when the one before it is in the server."""
    sequences = server.stack.repository.find("sum").sequences
    assert sequences is not None
    open_now = sequences._open  # without this one, until its first request has been read
    connections = []
    for i, one in enumerate(flags):
        document = {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}],
            "parameters": {"sequence_id": sequence, **one},
        }
        connections.append(server.connect())
        last = i == len(flags) - 1
        connections[-1].sendall(server.post("/v2/models/sum/infer", document, *(headers if last else ())))
        if not last:
            server.until(partial(lambda n: sequence in open_now and len(open_now[sequence].waiting) == n, i + 1))
    answers = [server.read_answer(s) for s in reversed(connections)]
    for s in connections:
        s.close()
    return answers[::-1]


@pytest.fixture
def held(tmp_path: Path, servers: Callable[..., Running]) -> tuple[Running, Held]:
    server = servers(repository(tmp_path))
    return server, hold(server, "sum")


def test_a_deadline_holds_behind_others_of_the_sequence(held: tuple[Running, Held]) -> None:
    """They run one after another; whoever waits for its turn is answered in time all the same."""
    server, engine = held
    start = {"sequence_start": True}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pipelined, server, 5, start, {}, {}, headers=("x-gantline-timeout-ms: 50",))
        late = server.stack.repository.find("sum").statistics
        server.until(lambda: late.rejections.total() == 1)
        assert not engine.go_on.is_set()
        engine.go_on.set()
        first, second, third = asked.result(20)
    assert (y(first), y(second), third.status) == (1, 2, 504)
    assert y(ask(server, 1, sequence_id=5)) == 3, "the late one has not run"


def test_what_comes_behind_the_end_is_not_of_the_sequence(held: tuple[Running, Held]) -> None:
    server, engine = held
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pipelined, server, 6, {"sequence_start": True}, {"sequence_end": True}, {})
        refused = server.stack.repository.find("sum").statistics
        server.until(lambda: refused.rejections.total() == 1)
        engine.go_on.set()
        first, second, third = asked.result(20)
    assert (y(first), y(second), third.status) == (1, 2, 400)
    assert ask(server, 1, sequence_id=6).status == 400
    assert y(ask(server, 1, sequence_id=6, sequence_start=True)) == 1
