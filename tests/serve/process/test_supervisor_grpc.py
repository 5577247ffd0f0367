"""gRPC under load while models are reloaded, workers end and the server stops: every call that failed is looked at.

A call that never got a connection, because nobody listens any more, is not lost: its client knows that at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.serve.fronts.grpcio import HOLD_S

from gantline.request import Request
from gantline.wire.v2_grpc import encode_request

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Program, Programs

grpc = pytest.importorskip("grpc")
pytestmark = [
    pytest.mark.slow,  # several processes each
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
]
CLIENTS = 8
WAIT_S = 60.0
CALL = b"\n\x06double" + encode_request(Request({"x": np.ones((1, 3), np.float32)}))  # field 1: the model's name


class Calls:
    """Clients that call on and on; every second one makes a new connection after each ten calls."""

    def __init__(self, target: str) -> None:
        self.answered = 0
        self.failed: Counter[str] = Counter()
        self.late_s = 0.0  # the most that this thread was kept waiting for a core
        self._target = target
        self._stopping = False
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def more(self, answers: int) -> None:
        """Until so many more calls were answered."""
        with self._progress:
            goal = self.answered + answers
            assert self._progress.wait_for(lambda: self.answered >= goal, WAIT_S), self.failed

    def stop(self) -> None:
        self._stopping = True
        self.join()

    def join(self) -> None:
        """Until every client has left, because nobody listens."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def check_none_was_lost(self) -> None:
        """Beside others who want the cores, the time that grpcio is given to say GOAWAY may not be enough."""
        cancelled = all(f.startswith("CANCELLED") for f in self.failed)
        if self.failed and cancelled and self.late_s > HOLD_S / 2:
            pytest.skip(f"the machine is too busy to tell: {self.late_s:.3f} s without a core, {self.failed}")
        assert self.failed == Counter()

    async def _run(self) -> None:
        watching = asyncio.ensure_future(self._watch())
        await asyncio.gather(*(self._client(10 if i % 2 else 1 << 30) for i in range(CLIENTS)))
        watching.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            self.late_s = max(self.late_s, loop.time() - due)

    async def _client(self, calls: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        while not self._stopping:
            async with grpc.aio.insecure_channel(self._target, options) as channel:
                call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
                for _ in range(calls):
                    if self._stopping or not await self._call(call):
                        return

    async def _call(self, call: Any) -> bool:
        try:
            assert await call(CALL, timeout=WAIT_S)
        except grpc.aio.AioRpcError as e:
            if e.details().startswith("failed to connect"):
                return False
            self.failed[f"{e.code().name}: {e.details()}"] += 1
            return True
        with self._progress:
            self.answered += 1
            self._progress.notify_all()
        return True


@pytest.fixture(params=["grpcio", pytest.param("h2", marks=pytest.mark.slow)])
def front(request: pytest.FixtureRequest) -> str:
    if request.param == "h2":
        pytest.importorskip("zttp")
    return str(request.param)


@pytest.fixture
def calling() -> Any:
    @contextmanager
    def start(run: Program) -> Iterator[Calls]:
        calls = Calls(run.ready["grpc"])
        try:
            yield calls
        finally:
            calls.stop()

    return start


def words(front: str) -> list[str]:
    return ["--front", "h2"] if front == "h2" else []


@pytest.mark.parametrize("workers", [1, 2])
def test_no_call_is_lost_by_a_reload_or_the_end(
    zoo: Path, program: Programs, client: type[Running], calling: Any, workers: int, front: str
) -> None:
    with program(zoo / "double.onnx", "--workers", workers, *words(front)) as run, calling(run) as calls:
        calls.more(100)
        for _ in range(3):
            with run.connect() as s:
                s.sendall(client.post("/v2/repository/models/double/load", {}))
                assert client.read_answer(s).status == 200
            calls.more(50)
        run.signal()
        calls.join()
        calls.check_none_was_lost()
        assert run.code() == 0, run.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_workers_end_costs(zoo: Path, program: Programs, calling: Any, one: signal.Signals, front: str) -> None:
    with program(zoo / "double.onnx", "--workers", 2, *words(front)) as run, calling(run) as calls:
        calls.more(200)
        os.kill(run.workers()[1], one)
        run.wait_for_log("worker 1 ended")
        calls.more(200)
        if one == signal.SIGTERM:
            calls.check_none_was_lost()
        else:  # those inside it, and those that waited in its own backlog: grpcio takes no common listener
            assert calls.failed.total() <= CLIENTS and all(f.startswith("UNAVAILABLE") for f in calls.failed)
        run.signal()
        calls.join()
        assert run.code() == 0, run.log.read_text()
