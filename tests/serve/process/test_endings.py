"""How a server is told to end: by its terminal, too, and by a service manager that tells every process of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.process.endings import endings

import gantline

from .test_supervisor import connect_to
from .test_worker_hosts import until

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Programs

SCRIPT = """
from pathlib import Path
def init():
    pass
def run(data):
    if data != "1":
        Path(data, "begun").touch()
        open(Path(data, "go")).read()
    return "done"
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_closed_terminal_loses_nothing(zoo: Path, program: Programs, client: type[Running], workers: int) -> None:
    with program(zoo / "double.onnx", "--workers", workers, "--drain-s", 1) as run, run.connect() as s:
        s.sendall(client.get("/v2/health/ready"))
        assert client.read_answer(s).status == 200
        run.signal(signal.SIGHUP)
        run.wait_for_log("stopping")
        s.sendall(client.get("/v2/health/live"))
        assert client.read_answer(s).status == 200
        assert run.code() == 0


def test_what_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert endings() == [signal.SIGTERM, signal.SIGINT]
    finally:
        signal.signal(signal.SIGHUP, before)
    assert endings() == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes by /proc")
@pytest.mark.parametrize("hosts", ["per-worker", "shared"])
def test_a_signal_to_every_process_loses_nothing(
    tmp_path: Path, program: Programs, client: type[Running], hosts: str
) -> None:
    (tmp_path / "score.py").write_text(SCRIPT)
    (tmp_path / "sample.json").write_text("1")
    gantline.package(script=tmp_path / "score.py", name="slow", output=tmp_path / "slow.pkg")
    with program(tmp_path / "slow.pkg", "--workers", 2, "--script-hosts", hosts, "--no-grpc") as run:
        with connect_to(run, 1, client) as s:
            os.mkfifo(tmp_path / "go")
            s.sendall(client.post("/score", str(tmp_path).encode()))
            until((tmp_path / "begun").exists)
            for pid in (run.process.pid, *_below(run.process.pid)):
                os.kill(pid, signal.SIGTERM)  # as systemd does
            run.wait_for_log("finishing what was accepted", times=2)
            (tmp_path / "go").write_text("go")
            answer = client.read_answer(s)
            assert (answer.status, answer.body) == (200, b'"done"'), run.log.read_text()
        assert run.code() == 0, run.log.read_text()


def _below(pid: int) -> list[int]:
    """All processes that this one has started, and those that they have."""
    found = [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]
    return found + [other for one in found for other in _below(one)]
