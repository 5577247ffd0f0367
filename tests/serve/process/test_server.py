"""The serving process: `gantline serve` as an operator starts and stops it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.process.server import allow_connections

from gantline.errors import UsageError
from gantline.settings import ServeSettings

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Programs

WAIT_S = 60.0


def work(server: type[Running], times: int) -> bytes:
    tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [times]}
    return server.post("/v2/models/toil/infer", {"inputs": [tensor]})


def test_ready_line_and_clean_end(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo) as run:
        assert set(run.ready) == {"url", "grpc", "models", "failed"} and run.ready["failed"] == []
        assert {m["name"] for m in run.ready["models"]} == {"centre", "double", "lookup", "positive", "toil"}
        assert all(m["state"] == "READY" and m["version"] == "1" for m in run.ready["models"])
        with run.connect() as s:
            s.sendall(client.get("/v2/health/ready"))
            assert s.recv(1000).startswith(b"HTTP/1.1 200")
        run.signal()
        assert run.code() == 0


LOOKED = """
import gc, sys
from gantline.cli import main
def tell(phase, about):
    if phase == "stop" and about["generation"] == 2:
        print("looked", file=sys.stderr)
gc.callbacks.append(tell)
raise SystemExit(main(sys.argv[1:]))
"""


def test_the_start_looks_for_garbage_once(zoo: Path) -> None:
    ports = ["--http-port", "0", "--no-grpc", "--json"]
    command = [sys.executable, "-c", LOOKED, "serve", str(zoo / "double.onnx"), *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["failed"] == []
        process.terminate()
        said = process.communicate(timeout=WAIT_S)[1].splitlines()
    assert process.returncode == 0
    assert said[: said.index(next(line for line in said if "stopping" in line))].count("looked") == 1, said


@pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered(zoo: Path, program: Programs, client: type[Running], one: int) -> None:
    with program(zoo) as run:
        with run.connect() as s:  # learn that this model is slow, so that the loop stays free
            s.sendall(work(client, 200) + client.get("/v2", "Connection: close"))
            assert [a.status for a in client.answers(client.read_all(s))] == [200, 200]
        sockets = [run.connect() for _ in range(8)]
        idle = run.connect()
        for s in sockets:
            s.sendall(work(client, 300) + client.post("/v2/models/lookup/infer", b"{}") + work(client, 10))
        body = b""
        while b'"fail":{"count":0' in body or not body:  # somebody's second answer is out: others compute, or wait
            with run.connect() as s:
                s.sendall(client.get("/v2/models/lookup/stats", "Connection: close"))
                body = client.read_all(s)
        run.signal(one)
        for s in sockets:
            with s:
                answers = client.answers(client.read_all(s))
                assert [a.status for a in answers] == [200, 400, 200]
        with idle:
            assert client.read_all(idle) == b""
        assert run.code() == 0, run.log.read_text()


def test_no_request_of_a_busy_client_is_lost(zoo: Path, program: Programs, client: type[Running]) -> None:
    raw = client.post(
        "/v2/models/double/infer", {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    )
    lost: list[str] = []
    done = threading.Semaphore(0)

    def ask_on_and_on(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), WAIT_S) as s:
            while True:
                s.sendall(raw)
                got = b""
                while not got.endswith(b"}]}"):
                    piece = s.recv(1 << 16)
                    if not piece:
                        lost.append(f"no answer, only {got!r}")
                        return
                    got += piece
                done.release()
                if b"connection: close" in got:
                    return

    with program(zoo) as run:
        threads = [threading.Thread(target=ask_on_and_on, args=(run.port,)) for _ in range(8)]
        for t in threads:
            t.start()
        for _ in range(500):
            assert done.acquire(timeout=WAIT_S)
        run.signal()
        for t in threads:
            t.join(WAIT_S)
        assert run.code() == 0 and lost == []


def test_a_second_signal_stops_at_once(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo) as run, run.connect() as s, run.connect() as other:
        s.sendall(work(client, 100))
        client.read_answer(s)
        s.sendall(work(client, 10_000_000))
        other.sendall(client.get("/v2/health/ready"))
        assert other.recv(1000).startswith(b"HTTP/1.1 200")
        run.signal()
        run.wait_for_log("finishing what was accepted")
        run.signal()
        assert run.code() == 1
        assert "1 accepted requests were not answered" in run.log.read_text()


def test_there_is_an_end_to_waiting(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo, "--shutdown-s", "0.2") as run, run.connect() as s:
        s.sendall(work(client, 100))
        client.read_answer(s)
        s.sendall(work(client, 10_000_000))
        run.signal()
        assert run.code() == 1


def test_a_certificate_that_cannot_be_read(servers: Callable[..., Running], tmp_path: Path) -> None:
    for text in (None, "not a certificate"):
        file = tmp_path / "cert"
        if text:
            file.write_text(text)
        with pytest.raises(UsageError, match=r"tls_(certificate|key) .* cannot be used"):
            servers(tls_certificate=file, tls_key=file)


def test_the_limit_of_open_files_is_raised() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 1024:
        pytest.skip("the system allows no more")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        allow_connections(ServeSettings(max_connections=400))
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (912, before[1])
        allow_connections(ServeSettings(max_connections=100))  # never lowered
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 912
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
