"""Several workers, from outside: one server to its clients, whatever becomes of one of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.process.cores import usable_cores

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Program, Programs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc")
WAIT_S = 60.0
LOOK_S = 0.01  # between two looks at another process, which needs the processor that looking takes
ROW = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


@contextmanager
def only(run: Program, worker: int) -> Iterator[None]:
    """The other workers stand still: whoever connects is accepted by this one."""
    others = [pid for number, pid in run.workers().items() if number != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def connect_to(run: Program, worker: int, client: type[Running]) -> socket.socket:
    """A connection that this worker has accepted."""
    with only(run, worker):
        s = run.connect()
        s.sendall(client.get("/v2/health/live"))
        assert client.read_answer(s).status == 200
    return s


def ask(s: socket.socket, client: type[Running], raw: bytes) -> tuple[int, Any]:
    s.sendall(raw)
    answer = client.read_answer(s)
    return answer.status, json.loads(answer.body or b"null")


def until_gone(pid: int) -> None:
    end = time.monotonic() + WAIT_S
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(LOOK_S)


def test_one_server(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo / "double.onnx", "--workers", 2) as run:
        assert run.ready["models"] == [{"name": "double", "version": "1", "state": "READY"}]
        assert sorted(run.workers()) == [1, 2]
        pids = run.workers().values()
        one, two = (connect_to(run, n, client) for n in (1, 2))
        with one, two:
            infer = client.post("/v2/models/double/infer", ROW)
            for s, times in ((one, 3), (two, 4)):
                for _ in range(times):
                    assert ask(s, client, infer)[0] == 200
            for s in (one, two):
                assert ask(s, client, client.get("/v2/health/ready"))[0] == 200
                _, found = ask(s, client, client.get("/v2/models/double/stats"))
                [row] = found["model_stats"]
                assert row["inference_stats"]["success"]["count"] == row["inference_count"] == 7
                assert [(b["batch_size"], b["compute_infer"]["count"]) for b in row["batch_stats"]] == [(1, 7)]
            load, unload = (client.post(f"/v2/repository/models/double/{verb}", {}) for verb in ("load", "unload"))
            assert ask(one, client, unload)[0] == 200
            assert [ask(s, client, infer)[0] for s in (one, two)] == [503, 503]
            _, [row] = ask(two, client, client.post("/v2/repository/index", {}))
            assert (row["state"], row["reason"]) == ("UNAVAILABLE", "unloaded")
            assert ask(two, client, load)[0] == 200
            assert [ask(s, client, infer)[0] for s in (one, two)] == [200, 200]
            status, found = ask(one, client, client.post("/v2/repository/models/none/load", {}))
            assert status == 404 and found == {"error": "failed to load 'none', it is not in the repository"}
        run.signal()
        assert run.code() == 0, run.log.read_text()
        for pid in pids:
            until_gone(pid)


@pytest.mark.parametrize("words", ["0", pytest.param("auto", marks=pytest.mark.slow)])
def test_as_many_as_there_are_cores(zoo: Path, program: Programs, words: str) -> None:
    allowed = os.sched_getaffinity(0)
    for cores in {1, min(2, len(allowed))}:
        os.sched_setaffinity(0, sorted(allowed)[:cores])
        try:
            count = usable_cores()  # a quota may leave fewer
            with program(zoo / "double.onnx", "--workers", words, "--no-grpc") as run:
                assert sorted(run.workers()) == ([*range(1, count + 1)] if count > 1 else [])
        finally:
            os.sched_setaffinity(0, allowed)


def test_a_dead_worker_is_replaced_by_one_in_the_same_state(
    zoo: Path, program: Programs, client: type[Running]
) -> None:
    with program(zoo, "--workers", 2) as run:
        infer = {name: client.post(f"/v2/models/{name}/infer", ROW) for name in ("double", "none")}
        one, two = (connect_to(run, n, client) for n in (1, 2))
        with one, two:
            assert ask(one, client, client.post("/v2/repository/models/double/unload", {}))[0] == 200
            assert ask(one, client, client.post("/v2/repository/models/toil/load", {}))[0] == 200
            dead = run.workers()[1]
            os.kill(dead, signal.SIGKILL)
            assert client.read_all(one) == b""
            assert ask(two, client, client.get("/v2/health/ready"))[0] == 200
            until_gone(dead)
            run.wait_for_log("worker 1 ended (signal SIGKILL); starting another in 0.05 s")
            while 1 not in run.workers():
                assert run.process.poll() is None
                time.sleep(LOOK_S)
            run.wait_for_log("worker 1 serves again")
            with connect_to(run, 1, client) as again:  # it accepts when it is as far as the others
                status, found = ask(again, client, infer["double"])
                assert status == 503 and "not ready" in found["error"]
                status, found = ask(again, client, client.post("/v2/models/lookup/infer", b"{}"))
                assert status == 400 and "not ready" not in found["error"]
                assert ask(two, client, client.post("/v2/repository/models/double/load", {}))[0] == 200
                assert ask(again, client, infer["double"])[0] == 200
        run.signal()
        assert run.code() == 0  # that one had died is not how this ends


@pytest.mark.slow
def test_a_signal_to_one_worker_replaces_it(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo / "double.onnx", "--workers", 2) as run:
        infer = client.post("/v2/models/double/infer", ROW)
        with connect_to(run, 1, client) as one:
            first = run.workers()[1]
            os.kill(first, signal.SIGTERM)
            os.kill(first, signal.SIGTERM)
            assert ask(one, client, infer)[0] == 200
        run.wait_for_log("worker 1 ended (exit status 0); starting another")
        while run.workers().get(1, first) == first:
            assert run.process.poll() is None
            time.sleep(LOOK_S)
        with connect_to(run, 1, client) as again:
            assert ask(again, client, infer)[0] == 200
        run.signal()
        assert run.code() == 0, run.log.read_text()


def test_no_worker_outlives_the_supervisor(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo, "--workers", 2) as run:
        pids = run.workers().values()
        tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [300]}
        toil = client.post("/v2/models/toil/infer", {"inputs": [tensor]})
        with connect_to(run, 1, client) as one, connect_to(run, 2, client) as two:
            for s in (one, two):
                assert ask(s, client, toil)[0] == 200  # learnt to be slow
                s.sendall(toil)
            run.process.kill()
            for s in (one, two):
                assert client.read_answer(s).status == 200  # what was accepted is finished
        for pid in pids:
            until_gone(pid)


def test_a_second_signal_stops_at_once(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo, "--workers", 2) as run:
        pids = run.workers().values()
        with connect_to(run, 1, client) as one:
            for times in (100, 10_000_000):
                tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [times]}
                one.sendall(client.post("/v2/models/toil/infer", {"inputs": [tensor]}))
                if times == 100:
                    assert client.read_answer(one).status == 200
            run.signal()
            run.wait_for_log("finishing what was accepted", 2)
            run.signal(signal.SIGINT)
            assert run.code() == 1
        for pid in pids:
            until_gone(pid)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["bad.onnx"], 3, "bad.onnx"),
        (["bad.onnx", "--default", "other"], 2, "default 'other': no such model"),
        (["bad.onnx", "--workers", "-1"], 2, "--workers: '-1' is not a whole number from 0 to 1024"),
        (["bad.onnx", "--workers", "all"], 2, "--workers: 'all' is not"),
    ],
)
def test_a_mistake_ends_the_server_with_its_reason(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    command = [sys.executable, "-m", "gantline", "serve", "--http-port", "0", "--workers", "2", *words]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == code and done.stdout == "", done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("gantline serve: error: ") and message in last and "Traceback" not in done.stderr
