"""gRPC by the h2 front while models are swapped, workers die and the server stops: lost calls are counted.

Lost is a call that was sent on an established connection and got no answer. The clients are grpc.aio's, as they come.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from gantline.request import Request
from gantline.wire.v2_grpc import decode_reply, encode_request

if TYPE_CHECKING:
    from tests.serve.process.conftest import Program, Programs

pytestmark = [
    pytest.mark.slow,  # several processes each
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
]
WAIT_S = 60.0
CLIENTS = 8
INFER = "/inference.GRPCInferenceService/ModelInfer"
ROW = encode_request(Request({"x": np.ones((1, 3), np.float32)}, "double"))
# the words of a client that has no connection, and could make none
UNCONNECTED = ("failed to connect", "connection refused", "empty address list")


class Calls:
    """Clients that call on and on, each on a connection of its own, until nobody listens any more."""

    def __init__(self, address: str, clients: int) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._address = address
        self._clients = clients
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def more(self, answers: int) -> None:
        """Until so many more answers have come."""
        with self._progress:
            goal = self.answered + answers
            assert self._progress.wait_for(lambda: self.answered >= goal, WAIT_S), self.lost

    def join(self) -> None:
        """Until every client has found nobody there."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "clients wait for answers that do not come"

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self._clients)))

    async def _client(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100)]
        async with grpc.aio.insecure_channel(self._address, options) as channel:
            infer: Any = channel.unary_unary(INFER)
            while True:
                try:
                    reply = decode_reply(await infer(ROW, timeout=WAIT_S))
                    assert reply.outputs[0][1].tolist() == [[2, 2, 2]]
                except grpc.aio.AioRpcError as e:
                    details = e.details() or ""
                    if any(words in details.lower() for words in UNCONNECTED):
                        return
                    self.lost.append(f"{e.code().name}: {details}")
                    continue
                with self._progress:
                    self.answered += 1
                    self._progress.notify_all()


@pytest.fixture
def models(zoo: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("double", "lookup"):
        shutil.copy(zoo / f"{name}.onnx", folder)
    return folder


@contextmanager
def calls(program: Programs, models: Path, *flags: object) -> Iterator[tuple[Program, Calls]]:
    with program(models, "--front", "h2", *flags) as run:
        assert run.ready["grpc"] == run.ready["url"].removeprefix("http://")
        made = Calls(run.ready["grpc"], CLIENTS)
        made.more(100)
        yield run, made


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_swaps_rotations_and_the_end(models: Path, program: Programs, workers: int) -> None:
    with calls(program, models, "--workers", workers, "--drain-s", 1) as (run, load):
        with grpc.insecure_channel(run.ready["grpc"]) as channel:
            reload: Any = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelLoad")
            for _ in range(3):
                reload(b"\x12\x06double", timeout=WAIT_S)  # model_name
                load.more(200)
        run.signal()
        load.join()
        assert load.lost == [] and run.code() == 0, run.log.read_text()


@pytest.mark.slow
def test_a_killed_worker_loses_its_own_calls_only(models: Path, program: Programs) -> None:
    with calls(program, models, "--workers", 2, "--drain-s", 1) as (run, load):
        while len(owners := run.owners()) < CLIENTS:  # some wait in the backlog still
            assert run.process.poll() is None
        theirs = list(owners.values())
        os.kill(run.workers()[1], signal.SIGKILL)
        run.wait_for_log("ended (signal SIGKILL)")
        load.more(200)
        assert len(load.lost) <= theirs.count(1), load.lost
        before = len(load.lost)
        run.signal()
        load.join()
        assert len(load.lost) == before and run.code() == 0, run.log.read_text()
