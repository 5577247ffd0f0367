"""Load goes on while models are swapped, workers die and the server stops: what is lost is counted, request by request.

Lost is a request on an established connection that got no whole answer.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Load, Program, Programs

pytestmark = [
    pytest.mark.slow,  # several processes each
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
]
ROW = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
TEN = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [10]}]}


@pytest.fixture
def models(zoo: Path, streaming: Path, tmp_path: Path) -> Path:
    """A folder of its own: what is served may be changed."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("double", "lookup", "toil"):
        shutil.copy(zoo / f"{name}.onnx", folder)
    shutil.copytree(streaming, folder / "pieces")
    return folder


@pytest.fixture
def requests(client: type[Running]) -> list[bytes]:
    """On the loop, on threads, and streamed."""
    double = client.post("/v2/models/double/infer", ROW)
    toil = client.post("/v2/models/toil/infer", TEN)
    pieces = client.post("/models/pieces/score", {"pieces": 20}, "Content-Type: application/json")
    return [double] * 6 + [toil] * 2 + [pieces] * 2


def control(run: Program, client: type[Running], *words: str) -> None:
    with run.connect() as s:
        for word in words:
            s.sendall(client.post(f"/v2/repository/models/{word}", {}))
            answer = client.read_answer(s)
            assert answer.status == 200, answer.body


@pytest.fixture(params=["http1", pytest.param("h2", marks=pytest.mark.slow)])
def front(request: pytest.FixtureRequest) -> str:
    """Each front answers HTTP/1.1; what gRPC's calls meet with is in test_supervisor_grpc.py."""
    if request.param == "h2":
        pytest.importorskip("zttp")
    return str(request.param)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_swap_and_then_the_end(
    models: Path, program: Programs, load: type[Load], client: type[Running], requests: list[bytes], workers: int,
    front: str,
) -> None:  # fmt: skip
    with (
        program(models, "--workers", workers, "--front", front) as run,
        load(run.port, requests) as clients,
    ):
        clients.more(50)
        for _ in range(2):
            control(run, client, "double/load", "toil/load", "lookup/unload", "lookup/load", "pieces/load")
            clients.more(50)
        shutil.copy(models / "lookup.onnx", models / "double.onnx")  # another model: it has other inputs
        (models / "toil.onnx").write_bytes(b"torn")
        with run.connect() as s:
            s.sendall(client.post("/v2/repository/models/toil/load", {}))
            assert client.read_answer(s).status == 500
        clients.more(50)
        assert set(clients.statuses) == {200}
        control(run, client, "double/load")
        clients.more(20)
        run.signal()
        clients.join()
        assert clients.lost == []
        assert set(clients.statuses) == {200, 400}
        assert run.code() == 0, run.log.read_text()


@pytest.mark.parametrize("drain_s", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_lame_duck(
    models: Path, program: Programs, load: type[Load], client: type[Running], requests: list[bytes], drain_s: float
) -> None:
    with program(models, "--workers", 2, "--drain-s", drain_s) as run, load(run.port, requests) as clients:
        clients.more(100)
        with run.connect() as s:
            s.sendall(client.post("/models/pieces/score", {"pieces": 100}, "Content-Type: application/json"))
            assert s.recv(12, 0) == b"HTTP/1.1 200"
            run.signal()
            if drain_s:
                run.wait_for_log("finishing what was accepted", 2)
                with run.connect() as late:
                    late.sendall(client.get("/v2/health/ready"))
                    answer = client.read_answer(late)
                    assert answer.status == 503 and answer.headers["connection"] == "close"
            assert client.read_all(s).endswith(b"piece 99 \r\n0\r\n\r\n")
        clients.join()
        assert clients.lost == [] and set(clients.statuses) == {200}
        assert run.code() == 0, run.log.read_text()


def test_a_killed_worker_loses_its_own_requests_only(
    models: Path, program: Programs, load: type[Load], requests: list[bytes], front: str
) -> None:
    with program(models, "--workers", 2, "--front", front) as run, load(run.port, requests) as clients:
        for victim in (1, 2):
            clients.more(100)
            before = len(clients.lost)
            while not clients.connected <= set(owners := run.owners()):  # some wait in the backlog still
                assert run.process.poll() is None
            os.kill(run.workers()[victim], signal.SIGKILL)
            run.wait_for_log("ended (signal SIGKILL)", victim)
            clients.more(100)
            lost = [port for port, _ in clients.lost[before:]]
            assert {owners[port] for port in lost} <= {victim}
            assert len(lost) == len(set(lost))  # what was being answered, one on each connection
            while victim not in run.workers():
                assert run.process.poll() is None
        run.signal()
        clients.join()
        assert set(clients.statuses) == {200} and run.code() == 0, run.log.read_text()


@pytest.mark.slow
def test_workers_replaced_one_by_one_lose_nothing(
    models: Path, program: Programs, load: type[Load], requests: list[bytes], front: str
) -> None:
    with program(models, "--workers", 2, "--front", front) as run, load(run.port, requests) as clients:
        for round_ in (1, 2):
            for number, pid in sorted(run.workers().items()):
                clients.more(50)
                os.kill(pid, signal.SIGTERM)
                run.wait_for_log(f"worker {number} ended (exit status 0)", round_)
                while run.workers().get(number, pid) == pid:
                    assert run.process.poll() is None
        clients.more(50)
        run.signal()
        clients.join()
        assert clients.lost == [] and set(clients.statuses) == {200}
        assert run.code() == 0, run.log.read_text()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A short path: Unix sockets are to lie there."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_what_a_killed_server_left_on_the_disk_goes(
    models: Path, program: Programs, client: type[Running], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(scratch))
    text = base64.b64encode((models / "double.onnx").read_bytes()).decode()
    given = {"parameters": {"config": '{"backend": "onnxruntime"}', "file:1/model.onnx": text}}
    with program(models, "--workers", 2) as run:
        with run.connect() as s:
            s.sendall(client.post("/v2/repository/models/given/load", given))
            answer = client.read_answer(s)
            assert answer.status == 200, answer.body
        left = set(scratch.glob("gantline-*"))
        assert len(left) == 3  # for each worker the model, and where their sockets are
        for pid in (run.process.pid, *run.workers().values()):
            os.kill(pid, signal.SIGKILL)
        run.process.wait()
    with program(models, "--workers", 2) as run:
        assert not left & set(scratch.glob("gantline-*"))
        log = run.log.read_text()
        assert all(f"removed {folder}, which a process that is gone had left" in log for folder in left)
        run.signal()
        assert run.code() == 0, run.log.read_text()
    assert not any(scratch.glob("gantline-*"))
