"""Whether anybody waits, and what comes of it: a script whose clients are late or gone makes room for the next one."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.accelerators.null import Null
from gantline.accelerators.session import Session
from gantline.serve.attendance import Attendance
from gantline.serve.exchange import Head
from gantline.serve.model import Model
from gantline.serve.policy import QueuePolicy
from gantline.serve.ticket import Ticket
from gantline.serve.tuning import Tuning

import gantline
from gantline.packages import Package
from gantline.request import Request

if TYPE_CHECKING:
    from tests.serve.conftest import Running

INFER = """
import time
from pathlib import Path
INPUTS = OUTPUTS = {"n": ("INT64", [1])}
def infer(inputs):
    if inputs["n"][0] == 7:
        Path(__file__).with_name("begun").touch()
        time.sleep(600)
    return inputs
"""
RUN = """
import time
from pathlib import Path
def init():
    pass
def run(data):
    if data == "wait":
        Path(__file__).with_name("begun").touch()
        time.sleep(600)
    return data
"""
LATE = "x-gantline-timeout-ms: 200"


def row(n: int) -> dict[str, Any]:
    return {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [n]}]}


@pytest.fixture(scope="module")
def scripts(servers: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Running:
    folder = tmp_path_factory.mktemp("attended")
    for name, text in (("infer", INFER), ("run", RUN)):
        (folder / f"{name}.py").write_text(text)
        gantline.package(script=folder / f"{name}.py", name=name, output=folder / f"{name}.pkg")
    return servers(folder / "infer.pkg", folder / "run.pkg", default="run", script_grace_s=60)


FACES = pytest.mark.parametrize(
    ("model", "path", "wait", "good"),
    [
        ("infer", "/v2/models/infer/infer", row(7), row(5)),
        ("infer", "/v2/models/infer/generate", {"n": 7}, {"n": 5}),
        ("run", "/score", b"wait", b"5"),
    ],
)


def host(server: Running, model: str) -> Any:
    engine: Any = server.on_loop(lambda: server.stack.repository.find(model).session.engine)
    return engine.host


def begun(server: Running, model: str) -> Path:
    return Path(host(server, model)._supervisor._launch.config["code"]) / "begun"


@FACES
def test_a_deadline_frees_the_script(scripts: Running, model: str, path: str, wait: Any, good: Any) -> None:
    (late,) = scripts.ask(scripts.post(path, wait, LATE))
    assert late.status == 504
    (answer,) = scripts.ask(scripts.post(path, good))  # within the test's patience, and not after ten minutes
    assert answer.status == 200
    assert host(scripts, model).restarts == 0


@FACES
def test_a_client_that_leaves_frees_the_script(scripts: Running, model: str, path: str, wait: Any, good: Any) -> None:
    mark = begun(scripts, model)
    mark.unlink(missing_ok=True)
    with scripts.connect() as s:
        s.sendall(scripts.post(path, wait))
        scripts.until(mark.exists)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not half closed
    (answer,) = scripts.ask(scripts.post(path, good))
    assert answer.status == 200
    assert host(scripts, model).restarts == 0


def test_a_batch_is_wanted_as_long_as_anybody_in_it_is(zoo: Path) -> None:
    class Client:
        closed = False

    attendance, clients = Attendance(), [Client(), Client()]
    found: list[bool] = []

    class Telling(Null):
        def run(self, inputs: Any, outputs: Any) -> Any:
            found.append(attendance.wanted())
            for client in clients:
                client.closed = True
                found.append(attendance.wanted())
            return super().run(inputs, outputs)

    async def main() -> None:
        package = Package.bare(zoo / "double.onnx", "double")
        plain = Session.open(package)
        session = Session(package, Telling(plain.signature))
        plain.close()
        session.inline = False  # as a script's
        with ThreadPoolExecutor(1) as pool:
            policy = Tuning(QueuePolicy(max_rows=8))
            model = Model(session, "double", "1", attendance.over(pool), policy)
            done: list[Ticket] = []
            for client in clients:
                request = Request({"x": np.ones((1, 3), np.float32)}, "double", "1")
                model.submit(request, Head(b"POST", b"/", b"", []), client, lambda ticket, *_: done.append(ticket))
            await model.dispatch.drain()
            assert len(done) == 2 and found == [True, True, False], "one run, with both of them"
            assert await asyncio.wrap_future(pool.submit(attendance.wanted)), "afterwards there is no batch"

    assert attendance.wanted()
    asyncio.run(main())
