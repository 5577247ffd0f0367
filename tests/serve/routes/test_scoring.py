"""/score when more comes than a script can do: refusals, what clients wish, and the budget of bytes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gantline

from ..conftest import Answer, Running

SCRIPT = """
import os, time

def init():
    pass

def run(data):
    if data.startswith("stream"):
        return pieces(data.split()[1])
    if data.startswith("wait"):
        until(data.split()[1])
    return len(data)

def until(gate):
    while not os.path.exists(gate):
        time.sleep(0.001)

def pieces(gate):
    yield {"i": 0}
    until(gate)
    yield {"i": 1}
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scoring")
    (folder / "score.py").write_text(SCRIPT)
    gantline.package(script=folder / "score.py", name="m", output=folder / "m.pkg")
    return folder / "m.pkg"


@pytest.fixture(scope="module")
def server(servers: Callable[..., Running], package: Path) -> Running:
    return servers(package, max_queue_rows=3)


class Held:
    """The script kept busy by one request, and others sent behind it."""

    def __init__(self, server: Running, gate: Path) -> None:
        self.server = server
        self.gate = gate
        self.queue = server.stack.repository.find("m", "").scores
        assert self.queue is not None
        self.queue.room = self.queue._many = 1
        self.sockets: list[socket.socket] = []

    def send(self, body: bytes, *headers: str) -> socket.socket:
        """One request on a connection of its own; when this returns, the server has seen it."""
        assert self.queue is not None
        queue, before = self.queue, self.server.on_loop(self.seen)
        one = self.server.connect()
        self.sockets.append(one)
        one.sendall(self.server.post("/score", body, *headers))
        self.server.until(lambda: self.seen() != before or not queue)
        return one

    def seen(self) -> tuple[int, ...]:
        assert self.queue is not None
        statistics = self.queue.statistics
        return len(self.queue.batcher), self.queue.running, statistics.success_count, statistics.fail_count

    def ask(self, body: bytes, *headers: str) -> Answer:
        return self.server.read_answer(self.send(body, *headers))

    def open(self) -> None:
        self.gate.touch()


@pytest.fixture
def held(server: Running, tmp_path: Path) -> Iterator[Held]:
    found = Held(server, tmp_path / "gate")
    found.send(b"wait %s" % str(found.gate).encode())
    yield found
    found.open()
    for one in found.sockets:
        one.close()
    server.until(lambda: found.queue is not None and not (found.queue.running or len(found.queue.batcher)))


def test_a_full_queue_is_503_with_a_reason_and_when_to_try_again(held: Held) -> None:
    waiting = [held.send(b"x" * n) for n in range(1, 4)]
    answer = held.ask(b"x")
    assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
    assert answer.json() == {"message": "model 'm': 3 rows are waiting already, as many as may; try again later"}
    assert answer.headers["x-ms-run-function-failed"] == "False" and answer.headers["x-request-id"]
    held.open()
    assert [held.server.read_answer(s).json() for s in waiting] == [1, 2, 3]
    assert held.queue is not None and held.queue.statistics.rejections["queue_full"] >= 1


def test_whoever_has_more_than_its_share_gets_429(held: Held) -> None:
    big = [held.send(b"x", "x-gantline-tenant: big") for _ in range(2)]
    small = held.send(b"xx", "x-gantline-tenant: small")
    answer = held.ask(b"x", "x-gantline-tenant: big")
    assert answer.status == 429 and "retry-after" in answer.headers
    assert "most of them are this tenant's" in answer.json()["message"]
    held.open()
    assert [held.server.read_answer(s).json() for s in (*big, small)] == [1, 1, 2]


def test_the_urgent_push_out_the_less_urgent(held: Held) -> None:
    low = [held.send(b"x", "x-gantline-priority: 9") for _ in range(3)]
    high = held.send(b"xx", "x-gantline-priority: 1")
    assert held.server.read_answer(low[2]).status == 503
    held.open()
    assert [held.server.read_answer(s).json() for s in (high, *low[:2])] == [2, 1, 1]


def test_a_deadline_is_504_in_time_and_wishes_that_make_no_sense_are_400(held: Held) -> None:
    answer = held.ask(b"x", "x-gantline-timeout-ms: 20")
    assert answer.status == 504 and "the deadline " in answer.json()["message"]
    answer = held.ask(b"x", "x-gantline-priority: soon")
    assert answer.status == 400 and "x-gantline-priority is 'soon'" in answer.json()["message"]


def test_large_bodies_count_until_they_are_answered(held: Held) -> None:
    budget = held.server.stack.core.budget
    before, budget.limit = budget.limit, 250_000
    try:
        waiting = [held.send(b"x" * 100_000) for _ in range(2)]
        assert budget.held == 200_000
        answer = held.ask(b"x" * 100_000)
        assert answer.status == 503 and "MiB may" in answer.json()["message"] and answer.headers["retry-after"] == "1"
        # a reset: whoever only closes its side may still read
        waiting[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        waiting[1].close()
        held.server.until(lambda: budget.held == 100_000)
        held.open()
        assert held.server.read_answer(waiting[0]).json() == 100_000
        held.server.until(lambda: budget.held == 0)
    finally:
        budget.limit = before


def test_a_stream_whose_time_is_up_breaks_off(server: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    head = rest = b""
    for timeout_ms in (500, 3000, 15_000):  # a busy machine may take the shorter ones to get it to the script
        with server.connect() as s:
            s.sendall(server.post("/score", b"stream %s" % str(gate).encode(), f"x-gantline-timeout-ms: {timeout_ms}"))
            head, _, rest = server.read_all(s).partition(b"\r\n\r\n")  # the server closes it
        if b" 504 " not in head:
            break
    gate.touch()
    assert head.startswith(b"HTTP/1.1 200") and b'{"i": 0}' in rest and not rest.endswith(b"0\r\n\r\n")
    assert server.ask(server.post("/score", b"xyz", "Connection: close"))[0].json() == 3


def test_what_waits_shows_in_the_metrics_and_in_dispatch(held: Held) -> None:
    held.send(b"x")
    (text, told) = (
        held.server.ask(held.server.get(path, "Connection: close"))[0] for path in ("/metrics", "/v2/models/m/dispatch")
    )
    assert b'gantline_queue_requests{model="m",version="1"} 1' in text.body
    assert b'gantline_inflight_requests{model="m",version="1"} 2' in text.body
    (worker,) = told.json()["workers"]
    assert worker["score"] == {
        "waiting": {"requests": 1, "rows": 1, "limit_rows": 3}, "with_script": 1, "room": 1,
    }  # fmt: skip


def test_a_model_default_deadline_holds(servers: Callable[..., Running], package: Path, tmp_path: Path) -> None:
    server = servers(package, deadline_s=0.05)
    with server.connect() as s:
        s.sendall(server.post("/score", b"wait %s" % str(tmp_path / "gate").encode()))
        assert server.read_answer(s).status == 504
    (tmp_path / "gate").touch()
