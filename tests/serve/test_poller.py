"""Following the disk: what is acted on, when, and what goes on serving meanwhile."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.control import Control
from gantline.serve.loader import Loader
from gantline.serve.poller import Poller, settled
from gantline.serve.repository import UNAVAILABLE, Repository
from gantline.serve.shelf import Shelf

import gantline
from gantline.settings import ServeSettings, resolve

if TYPE_CHECKING:
    from tests.conftest import Serving
    from tests.serve.conftest import Scaler


def test_a_change_counts_once_it_has_stopped() -> None:
    acted = {"a": "1", "b": "1", "c": "1"}
    assert settled(acted, acted, {"a": "2", "b": "1", "d": "1"}) == {}
    assert settled(acted, {"a": "2", "b": "1", "d": "1"}, {"a": "3", "b": "1", "d": "1"}) == {"c": "", "d": "1"}
    assert settled(acted, {"a": "3", "b": "1"}, {"a": "3", "b": "1"}) == {"a": "3", "c": ""}
    assert settled(acted, {"a": "3"}, {"a": "1", "b": "1", "c": "1"}) == {}, "and back again"


class Desk:
    """One or more workers over the same directory, as far as polling goes: control fans out to all."""

    def __init__(self, root: Path, workers: int, pool: ThreadPoolExecutor) -> None:
        resolved = resolve(ServeSettings, {"model_control": "poll"}, {})
        self.loaders: list[Loader] = []
        self.pollers: list[Poller] = []
        controls = [Control() for _ in range(workers)]
        for control in controls:
            shelf = Shelf([str(root)], resolved)
            loader = Loader(Repository(shelf.entries()), resolved, pool, pool, shelf)
            self.loaders.append(loader)
            self.pollers.append(Poller(shelf, loader, control, 1.0, pool))

            async def fan_out(verb: str, arguments: Any, *_: Any) -> list[Any]:
                return [await c.here(verb, arguments) for c in controls]

            control.fan_out = fan_out

    async def look(self, times: int = 2, worker: int = 0) -> list[list[str]]:
        """Let a worker look; what each worker serves then."""
        for _ in range(times):
            await self.pollers[worker].look()
        return [[f"{s.entry.name}:{s.entry.version}" for s in r.slots() if s.model] for r in self.repositories]

    @property
    def repositories(self) -> list[Repository]:
        return [loader.repository for loader in self.loaders]


def at(root: Path, test: Callable[[Desk], Awaitable[None]], workers: int = 1) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(8) as pool:
            desk = Desk(root, workers, pool)
            for loader in desk.loaders:
                await loader.load_all()
            try:
                await asyncio.wait_for(test(desk), 60)
            finally:
                for loader in desk.loaders:
                    await loader.close()

    asyncio.run(run())


def test_what_comes_changes_and_goes(scaler: Scaler, tmp_path: Path) -> None:
    scaler(tmp_path / "a.onnx", 2)

    async def test(desk: Desk) -> None:
        repository = desk.repositories[0]
        first = repository.find("a")
        assert await desk.look(5) == [["a:1"]] and repository.find("a") is first
        scaler(tmp_path / "b/1/model.onnx", 3)
        assert await desk.look(1) == [["a:1"]], "it may be half copied"
        assert await desk.look(1) == [["a:1", "b:1"]]
        scaler(tmp_path / "b/2/model.onnx", 4)
        assert await desk.look() == [["a:1", "b:2"]] and repository.find("a") is first
        scaler(tmp_path / "a.onnx", 5)
        await desk.look()
        assert repository.find("a") is not first
        shutil.rmtree(tmp_path / "b")
        assert await desk.look(1) == [["a:1", "b:2"]]
        assert await desk.look(1) == [["a:1"]] and repository.names() == ["a"]
        (tmp_path / "a.onnx").unlink()
        assert await desk.look() == [[]], "the last one, too"
        scaler(tmp_path / "a.onnx", 6)
        assert await desk.look() == [["a:1"]]

    at(tmp_path, test)


def test_a_package_that_is_being_copied(scaler: Scaler, tmp_path: Path) -> None:
    """Manifest first, model later and slowly, which is the worst order: the old one serves until all is there."""
    old = gantline.package(scaler(tmp_path / "x/m.onnx", 2), name="m", output=tmp_path / "repo/file.pkg").digest
    new = gantline.package(scaler(tmp_path / "x/n.onnx", 3), name="m", output=tmp_path / "new.pkg")
    data = new.model_path.read_bytes()
    target = tmp_path / "repo/file.pkg"

    async def test(desk: Desk) -> None:
        repository = desk.repositories[0]

        def digest() -> str | None:
            return repository.find("m").session.package.digest

        manifest = (new.path / "manifest.json").read_bytes()
        for size in (0, 100, len(manifest)):
            (target / "manifest.json").write_bytes(manifest[:size])
            assert await desk.look(3) == [["m:1"]] and digest() == old, "stopped in the middle of the manifest"
        shutil.copytree(new.path / "golden", target / "golden", dirs_exist_ok=True)
        for size in (0, 10, len(data) - 1):
            (target / "model.onnx").write_bytes(data[:size])
            assert await desk.look(3) == [["m:1"]] and digest() == old, "stopped in the middle of the model"
        (target / "model.onnx").write_bytes(data)
        assert await desk.look() == [["m:1"]] and digest() == new.digest

    at(tmp_path / "repo", test)


def test_what_fails_is_not_tried_again_until_it_changes(
    scaler: Scaler, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scaler(tmp_path / "a/1/model.onnx", 2)

    async def test(desk: Desk) -> None:
        repository = desk.repositories[0]
        (tmp_path / "a/2").mkdir()
        (tmp_path / "a/2/model.onnx").write_bytes(b"no model")
        assert await desk.look(5) == [["a:1"]]
        assert caplog.text.count("what lies there now is not served") == 1
        (slot,) = (s for s in repository.slots("a") if s.model is None)
        assert slot.state == UNAVAILABLE and "a/2/model.onnx" in slot.reason
        scaler(tmp_path / "a/2/model.onnx", 3)
        assert await desk.look() == [["a:2"]]

    at(tmp_path, test)


def test_a_directory_that_is_not_there_now_unloads_nothing(
    scaler: Scaler, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "models"
    scaler(root / "a.onnx", 2)

    async def test(desk: Desk) -> None:
        root.rename(tmp_path / "away")
        assert await desk.look(4) == [["a:1"]]
        assert caplog.text.count("no such file or directory") == 1
        (tmp_path / "away").rename(root)
        scaler(root / "b.onnx", 3)
        assert await desk.look() == [["a:1", "b:1"]]
        scaler(root / "a/1/model.onnx", 4)
        scaler(root / "c.onnx", 4)
        assert await desk.look(4) == [["a:1", "b:1"]], "two models of one name"
        assert caplog.text.count("serve one of them") == 1
        shutil.rmtree(root / "a")
        assert await desk.look() == [["a:1", "b:1", "c:1"]]

    at(root, test)


def test_workers_act_on_the_same_change_once(scaler: Scaler, tmp_path: Path) -> None:
    scaler(tmp_path / "a.onnx", 2)

    async def test(desk: Desk) -> None:
        scaler(tmp_path / "a.onnx", 3)
        scaler(tmp_path / "b.onnx", 3)
        assert await desk.look(2, worker=1) == [["a:1", "b:1"]] * 3
        models = [r.find("a") for r in desk.repositories]
        for worker in range(3):
            assert await desk.look(2, worker) == [["a:1", "b:1"]] * 3
        assert [r.find("a") for r in desk.repositories] == models
        (tmp_path / "b.onnx").unlink()
        await asyncio.gather(*(desk.look(2, worker) for worker in range(3)))
        assert await desk.look() == [["a:1"]] * 3

    at(tmp_path, test, workers=3)


def test_a_change_while_the_server_starts(scaler: Scaler, tmp_path: Path) -> None:
    """Between the look for what to load and the loading: it is seen by the first looks."""
    scaler(tmp_path / "a/1/model.onnx", 2)

    async def run() -> None:
        with ThreadPoolExecutor(4) as pool:
            desk = Desk(tmp_path, 1, pool)
            scaler(tmp_path / "a/2/model.onnx", 3)
            await desk.loaders[0].load_all()
            assert await desk.look() == [["a:2"]]
            await desk.loaders[0].close()

    asyncio.run(run())


def test_looking_goes_on_whatever_happens(
    scaler: Scaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scaler(tmp_path / "a.onnx", 2)

    async def test(desk: Desk) -> None:
        poller = desk.pollers[0]
        poller._interval_s = 0.001
        scan, failed, looked = poller._shelf.scan, threading.Event(), threading.Event()

        def broken() -> dict[str, str]:
            if not failed.is_set():
                failed.set()
                raise MemoryError("for once")
            looked.set()
            return scan()

        monkeypatch.setattr(poller._shelf, "scan", broken)
        running = asyncio.ensure_future(poller.run())
        assert await asyncio.to_thread(looked.wait, 20)
        running.cancel()
        assert "looking for changes failed" in caplog.text

    at(tmp_path, test)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_real_server_follows(workers: int, serving: Serving, scaler: Scaler, tmp_path: Path) -> None:
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()

    def answers(url: str, name: str) -> Any:
        try:
            with urllib.request.urlopen(f"{url}/v2/models/{name}/infer", body, timeout=20) as answer:
                return json.loads(answer.read())["outputs"][0]["data"]
        except urllib.error.HTTPError as e:
            return e.code

    def until(url: str, name: str, wanted: Any) -> None:
        end, alike = time.monotonic() + 20, 0
        while alike < 5 * workers:  # connections of their own: any worker may get them
            found = answers(url, name)
            alike = alike + 1 if found == wanted else 0
            assert time.monotonic() < end, found

    (tmp_path / "models").mkdir()
    with serving(tmp_path / "models", "--model-control", "poll", "--poll-s", "0.1", "--workers", workers) as url:
        assert answers(url, "m") == 404
        scaler(tmp_path / "models/m.onnx", 2)
        until(url, "m", [2, 4, 6])
        scaler(tmp_path / "models/m.onnx", 3)
        until(url, "m", [3, 6, 9])
        (tmp_path / "models/m.onnx").unlink()
        until(url, "m", 404)
