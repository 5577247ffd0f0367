"""Workers that share a script's host: one process answers for all, whatever becomes of one of them, or of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gantline

from .test_supervisor import connect_to, until_gone

if TYPE_CHECKING:
    import socket

    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Program, Programs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc")
SCRIPT = """
import os
def init():
    global weights
    weights = bytearray(os.urandom(1 << 20)) * 64
def run(data):
    return os.getpid()
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "score.py").write_text(SCRIPT)
    (tmp_path / "sample.json").write_text("1")
    gantline.package(script=tmp_path / "score.py", name="heavy", output=tmp_path / "heavy.pkg")
    return tmp_path / "heavy.pkg"


def host_by(run: Program, worker: int, client: type[Running]) -> int:
    """The process that answers those who ask this worker."""
    with connect_to(run, worker, client) as s:
        return _host(s, client)


def _host(s: socket.socket, client: type[Running]) -> int:
    s.sendall(client.post("/score", b"1"))
    answer = client.read_answer(s)
    assert answer.status == 200, answer.body
    return int(answer.body)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_host_for_all_workers(package: Path, program: Programs, client: type[Running]) -> None:
    with program(package, "--workers", 2, "--script-hosts", "shared", "--no-grpc") as run:
        host = host_by(run, 1, client)
        assert host_by(run, 2, client) == host
        with connect_to(run, 2, client) as two:
            dead = run.workers()[1]
            os.kill(dead, signal.SIGKILL)  # who began with the host is not who it lives by
            assert _host(two, client) == host
            until_gone(dead)
            until(lambda: run.workers().get(1, dead) != dead)
            assert host_by(run, 1, client) == host
            os.kill(host, signal.SIGKILL)
            run.wait_for_log("its script's process ended (signal SIGKILL)")
            other = _host(two, client)
            assert other != host and host_by(run, 1, client) == other
            two.sendall(client.get("/metrics"))
            text = client.read_answer(two).body.decode()
            (memory,) = [line for line in text.splitlines() if line.startswith("gantline_model_memory_bytes{")]
            assert 64 << 20 < float(memory.rpartition(" ")[2]) < 128 << 20, "it counts once"
        run.signal()
        assert run.code() == 0, run.log.read_text()
        until_gone(other)
    assert run.log.read_text().count("its script's process ended") == 1


@pytest.mark.slow
def test_workers_share_each_of_several_hosts(package: Path, program: Programs, client: type[Running]) -> None:
    with program(package, "--workers", 2, "--script-hosts", "shared", "--instances", 2, "--no-grpc") as run:
        found = {worker: {host_by(run, worker, client) for _ in range(4)} for worker in (1, 2)}
        assert found[1] == found[2] and len(found[1]) == 2, "lone calls take turns"
        run.signal()
        assert run.code() == 0, run.log.read_text()
        for pid in found[1]:
            until_gone(pid)


def test_by_default_each_worker_has_its_own(package: Path, program: Programs, client: type[Running]) -> None:
    with program(package, "--workers", 2, "--no-grpc") as run:
        assert host_by(run, 1, client) != host_by(run, 2, client)


def test_a_host_that_is_shared_does_not_outlive_the_server(
    package: Path, program: Programs, client: type[Running]
) -> None:
    (package.parent / "gantline.toml").write_text('[model.heavy]\nscript_hosts = "shared"\n')
    with program(package, "--workers", 2, "--no-grpc") as run:
        host = host_by(run, 1, client)
        assert host_by(run, 2, client) == host
        for pid in (run.process.pid, *run.workers().values()):
            os.kill(pid, signal.SIGKILL)
        until_gone(host)


@pytest.mark.slow
def test_unload_ends_it_and_load_starts_another(package: Path, program: Programs, client: type[Running]) -> None:
    with (
        program(package, "--workers", 2, "--script-hosts", "shared", "--no-grpc") as run,
        connect_to(run, 1, client) as one,
    ):
        host = _host(one, client)
        for verb in ("unload", "load"):
            one.sendall(client.post(f"/v2/repository/models/heavy/{verb}", json.dumps({}).encode()))
            assert client.read_answer(one).status == 200
            if verb == "unload":
                until_gone(host)
        assert _host(one, client) != host and host_by(run, 2, client) == _host(one, client)
