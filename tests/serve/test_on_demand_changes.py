"""What happens beside the loads that requests ask for: operators, files that change, scripts that take their time."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.residency import SESSION
from gantline.serve.scale import Weighing

import gantline

from .test_on_demand import ask, loaded, of, outputs

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running, Scaler

Servers = Callable[..., "Running"]
SLOW = """
import os, time
def init():
    while not os.path.exists({gate!r}):
        time.sleep(0.005)
def run(data):
    return "loaded"
"""


@pytest.fixture
def start(servers: Servers) -> Servers:
    return lambda *refs, **flags: servers(*refs, load="on-demand", **flags)


@pytest.fixture
def scalers(scaler: Scaler, tmp_path: Path) -> Path:
    """Four small models, m0 to m3: x times their number."""
    for i in range(4):
        scaler(tmp_path / f"models/m{i}.onnx", float(i))
    return tmp_path / "models"


def wait(server: Running, work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work, server.loop).result(60)


@contextmanager
def taken(server: Running, *locks: asyncio.Lock | asyncio.Semaphore) -> Iterator[None]:
    """What loads have to wait for is somebody else's."""
    for lock in locks:
        wait(server, lock.acquire())
    yield
    for lock in locks:
        server.on_loop(lock.release)


def asked(server: Running, pool: ThreadPoolExecutor, name: str) -> Future[Answer]:
    """A first request, under way."""
    asked = pool.submit(ask, server, name)
    server.until(lambda: name in of(server).loading)
    return asked


def test_what_an_operator_unloads_while_it_waits_to_be_loaded_stays_unloaded(start: Servers, scalers: Path) -> None:
    server = start(scalers)
    with ThreadPoolExecutor(1) as pool:
        with taken(server, *[of(server)._rooms[True]] * 4):
            first = asked(server, pool, "m1")
            assert server.ask(server.post("/v2/repository/models/m1/unload", {}))[0].status == 200
        assert first.result(60).status == 503 and "is not ready: unloaded" in first.result().json()["error"]
    assert loaded(server) == set()
    assert server.ask(server.post("/v2/repository/models/m1/load", {}))[0].status == 200
    assert outputs(ask(server, "m1")) == [1, 2, 3]


def test_a_model_that_goes_while_it_waits_to_be_loaded_is_not_there(start: Servers, scalers: Path) -> None:
    server = start(scalers)
    turn: Any = server.on_loop(lambda: of(server)._loader._turn("m1"))
    with ThreadPoolExecutor(1) as pool:
        with taken(server, turn):
            gone = asyncio.run_coroutine_threadsafe(of(server)._loader.unload("m1", forget=True), server.loop)
            server.until(lambda: bool(turn._waiters))
            first = asked(server, pool, "m1")
        gone.result(60)
        assert first.result(60).status == 404
    assert ask(server, "m1").status == 404 and "m1" not in server.on_loop(server.stack.repository.names)


def test_a_change_that_is_seen_while_the_model_is_loaded_is_not_lost(
    start: Servers, scaler: Scaler, tmp_path: Path
) -> None:
    scaler(tmp_path / "m/1/model.onnx", 1)
    server = start(tmp_path, model_control="poll")
    poller = server.stack.poller
    assert poller is not None
    with ThreadPoolExecutor(1) as pool:
        with taken(server, server.on_loop(lambda: of(server)._loader._turn("m"))):
            first = asked(server, pool, "m")
            scaler(tmp_path / "m/2/model.onnx", 7)
            wait(server, poller.look())
            looking = asyncio.run_coroutine_threadsafe(poller.look(), server.loop)
            server.until(lambda: poller._acted == poller._before)  # it has begun, and waits for its turn
        assert outputs(first.result(60))
        looking.result(60)
    assert outputs(ask(server, "m")) == [7, 14, 21]


def test_a_package_that_was_published_again_is_looked_at_again(start: Servers, scalers: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    gantline.package(scalers / "m1.onnx", name="m", output=packages / "m.pkg")
    server = start(packages)
    gantline.package(scalers / "m3.onnx", name="m", output=packages / "m.pkg", overwrite=True)
    assert outputs(ask(server, "m")) == [3, 6, 9], "nobody has been answered by what lay there before"
    assert of(server).tally.failed == 0
    shutil.rmtree(packages / "m.pkg")
    assert wait(server, of(server)._retire("m", "idle"))
    answer = ask(server, "m")
    assert answer.status == 503 and "m.pkg/" in answer.json()["error"] and str(tmp_path) not in answer.json()["error"]


def test_scripts_that_take_long_to_load_hold_up_no_model(start: Servers, scalers: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "code").mkdir()
    (tmp_path / "code/score.py").write_text(SLOW.format(gate=str(gate)))
    gate.touch()
    first = gantline.package(script=tmp_path / "code/score.py", name="slow0", output=scalers / "slow0.pkg").path
    gate.unlink()
    for i in range(1, 5):
        copy = shutil.copytree(first, scalers / f"slow{i}.pkg")
        manifest = json.loads((copy / "manifest.json").read_text())
        (copy / "manifest.json").write_text(json.dumps(manifest | {"name": f"slow{i}"}))
    server = start(scalers)
    with ThreadPoolExecutor(5) as pool:
        slow = [pool.submit(server.ask, server.post(f"/models/slow{i}/score", b"1")) for i in range(5)]
        server.until(lambda: len(of(server).loading) == 5)
        assert outputs(ask(server, "m2")) == [2, 4, 6], "while five scripts are being loaded"
        assert len(server.on_loop(lambda: set(of(server).loading))) == 5
        gate.touch()
        assert [one.result(60)[0].json() for one in slow] == ["loaded"] * 5


class Scripted:
    """A scale that says what it is told to, and then that nothing has grown."""

    def __init__(self, *growths: int) -> None:
        self._growths = list(growths)

    @contextmanager
    def weigh(self) -> Iterator[Weighing]:
        found = Weighing()
        yield found
        found.growth = self._growths.pop(0) if self._growths else 0

    def stir(self) -> None:
        """Nothing is weighed."""


def test_what_was_too_large_is_weighed_anew(start: Servers, scalers: Path) -> None:
    """Large bodies may have come while it was loaded: what was measured then must not keep it out for ever."""
    server = start(scalers, memory=8 * (SESSION + 4096))
    server.on_loop(lambda: setattr(of(server)._loader, "_scale", Scripted(1 << 30, 0, 1 << 30, 1 << 30)))
    assert outputs(ask(server, "m1")) == [1, 2, 3]
    answer = ask(server, "m2")
    assert answer.status == 503 and "it takes 1024.0 MiB, more than the 1.0 MiB" in answer.json()["error"]
    assert loaded(server) == {"m1"}
    server.on_loop(lambda: of(server)._retries.forgive("m2"))  # as time does
    assert outputs(ask(server, "m2")) == [2, 4, 6]


def test_that_more_is_pinned_than_fits_is_told_once(
    start: Servers, scalers: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(scalers, memory=SESSION + 4096)
    with caplog.at_level(logging.WARNING, "gantline.loader"):
        for name in ("m1", "m2"):
            assert server.ask(server.post(f"/v2/repository/models/{name}/load", {}))[0].status == 200
        for _ in range(3):
            wait(server, of(server).tick(perf_counter_ns()))
    assert [r.getMessage() for r in caplog.records if "pinned take more than --memory allows" in r.getMessage()][
        1:
    ] == []
    assert "pinned take more than --memory allows" in caplog.text and loaded(server) == {"m1", "m2"}
