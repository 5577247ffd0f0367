"""While workers start, and start again, nobody meets one that is not as far as another was already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from gantline.request import Request
from gantline.wire.v2_grpc import encode_request

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Program as Made

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc")
WAIT_S = 60.0
LOOK_S = 0.01  # between two looks: the server needs the processor that looking takes
ROW = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
CALL = encode_request(Request({"x": np.ones((1, 3), np.float32)}, "double"))
# the first host of it is there at once, all others only while there is a file "go"
SCRIPT = """
import os, time
def init():
    try:
        os.close(os.open("{0}/first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        while not os.path.exists("{0}/go"):
            time.sleep(0.01)
def run(data):
    return data
"""


@pytest.fixture(params=["http1", pytest.param("h2", marks=pytest.mark.slow)])
def front(request: pytest.FixtureRequest) -> str:
    if request.param == "h2":
        pytest.importorskip("zttp")
    return str(request.param)


@contextmanager
def starting(models: Path, front: str, log: Path, port: int, grpc_port: int) -> Iterator[Made]:
    """A server that has been started, and is not waited for."""
    from tests.serve.process.conftest import Program

    command = [
        sys.executable, "-m", "gantline", "serve", str(models), "--workers", "2", "--front", front,
        "--http-port", str(port), "--grpc-port", str(grpc_port),
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
    target = f"127.0.0.1:{port if front == 'h2' else grpc_port}"
    with log.open("w") as out, subprocess.Popen(
        command, stdout=out, stderr=out, text=True, env=environment, cwd=log.parent
    ) as process:  # fmt: skip
        try:
            yield Program(process, {"url": f"http://127.0.0.1:{port}", "grpc": target}, log)
        finally:
            process.kill()


class Client:
    """Every request on a connection of its own: whoever accepts it answers."""

    def __init__(self, run: Made, made: type[Running]) -> None:
        self._run = run
        self._made = made

    def status(self, raw: bytes) -> int:
        with self._run.connect() as s:
            s.sendall(raw)
            return self._made.read_answer(s).status

    def infer(self) -> int:
        return self.status(self._made.post("/v2/models/double/infer", ROW))

    def ready(self) -> bool:
        return self.status(self._made.get("/v2/health/ready")) == 200

    def call(self) -> None:
        """An error of gRPC's, if it fails."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._run.ready["grpc"], options) as channel:
            infer: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            infer(CALL, timeout=WAIT_S)

    def both(self, times: int) -> None:
        for _ in range(times):
            assert self.infer() == 200
            self.call()

    def until_listening(self) -> None:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with suppress(ConnectionRefusedError):
                assert self.infer() == 200  # the first answer at all
                return
            time.sleep(LOOK_S)

    def until_ready(self) -> None:
        end = time.monotonic() + WAIT_S
        while not self.ready():
            assert self.infer() == 200 and time.monotonic() < end

    def until_workers(self, count: int) -> None:
        end, line = time.monotonic() + WAIT_S, f"\ngantline_workers {count}".encode()
        while True:
            with self._run.connect() as s:
                s.sendall(self._made.get("/metrics"))
                if line in self._made.read_answer(s).body:
                    return
            self.both(1)
            assert time.monotonic() < end
            time.sleep(LOOK_S)


def test_nobody_is_told_that_a_model_is_being_loaded(
    zoo: Path, tmp_path: Path, client: type[Running], front: str, free_port: Callable[[], int]
) -> None:
    import gantline

    models, go = tmp_path / "models", tmp_path / "go"
    models.mkdir()
    (models / "double.onnx").write_bytes((zoo / "double.onnx").read_bytes())
    (tmp_path / "score.py").write_text(SCRIPT.format(tmp_path))
    gantline.package(script=tmp_path / "score.py", name="slow", output=models / "slow")
    with starting(models, front, tmp_path / "log", free_port(), free_port()) as run:
        one = Client(run, client)
        one.until_listening()
        one.both(20)
        assert not one.ready()  # the other worker is still loading
        go.touch()
        one.until_ready()
        one.both(20)
        one.until_workers(2)
        go.unlink()
        before = run.workers()[1]
        os.kill(before, signal.SIGKILL)
        run.wait_for_log("worker 1 ended (signal SIGKILL)")
        while run.workers().get(1, before) == before:
            assert run.process.poll() is None
            time.sleep(LOOK_S)
        one.both(20)
        assert one.ready()
        go.touch()
        one.until_workers(2)
        one.both(20)
        run.signal()
        assert run.code() == 0, run.log.read_text()
