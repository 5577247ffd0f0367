"""Loading, replacing and letting go, on real models."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.serve.given import PREFIX
from gantline.serve.loader import Loader
from gantline.serve.repository import READY, UNAVAILABLE, Repository
from gantline.serve.shelf import Shelf
from gantline.serve.ticket import Ticket

import gantline
from gantline.blobs import publish_directory
from gantline.errors import BadArtefact, GantlineError, NotFound, Unavailable, VerificationFailed
from gantline.packages import Package, seal
from gantline.request import Request
from gantline.settings import ServeSettings, resolve

if TYPE_CHECKING:
    from tests.serve.conftest import Scaler

NOBODY: Any = type("Nobody", (), {"closed": False})()


def at(refs: list[Path], test: Callable[[Loader], Awaitable[None]], **flags: str) -> None:
    """A loader over REFs, all let go in the end."""

    async def run() -> None:
        resolved = resolve(ServeSettings, flags, {})
        shelf = Shelf([str(r) for r in refs], resolved)
        repository = Repository(shelf.entries())
        with ThreadPoolExecutor(8) as pool:
            loader = Loader(repository, resolved, pool, pool, shelf)
            await asyncio.wait_for(test(loader), 60)
            await loader.close()
            assert all(s.model is None for s in repository.slots())

    asyncio.run(run())


async def ask(loader: Loader, name: str, values: Any) -> Any:
    """One request's answer, as the model that is in place gives it."""
    got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    request = Request({"x": np.array(values, np.float32)}, model=name)
    loader.repository.find(name).submit(request, NOBODY, NOBODY, lambda t, o, e: got.set_result(e if o is None else o))
    found = await got
    return found if isinstance(found, Exception) else found[0].tolist()


def test_everything_loads_and_what_fails_is_told(zoo: Path, tmp_path: Path) -> None:
    for name in ("double", "lookup"):
        shutil.copy(zoo / f"{name}.onnx", tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08garbage")
    (tmp_path / "empty").mkdir()
    seen: list[tuple[int, int, str]] = []

    async def test(loader: Loader) -> None:
        assert not loader.repository.ready
        failed = await loader.load_all(lambda done, total, slot: seen.append((done, total, slot.entry.name)))
        assert loader.repository.ready and [s.entry.name for s in failed] == ["broken"]
        assert failed[0].state == UNAVAILABLE and "broken.onnx" in failed[0].reason and "\n" not in failed[0].reason
        assert await ask(loader, "double", [[1, 2, 3]]) == [[2, 4, 6]]

    at([tmp_path], test)
    assert seen == [(1, 3, "broken"), (2, 3, "double"), (3, 3, "lookup")]


def test_a_successor_that_fails_leaves_the_old_one_serving(zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    shutil.copy(zoo / "double.onnx", path)

    async def test(loader: Loader) -> None:
        await loader.load_all()
        (slot,) = loader.repository.slots()
        old = slot.model
        path.write_bytes(b"no model")
        with pytest.raises(BadArtefact, match=r"^test_\w+/m\.onnx: onnxruntime .* cannot") as raised:
            await loader.reload("m")
        assert str(tmp_path.parent) not in raised.value.message
        assert slot.model is old and slot.state == READY and slot.reason == ""
        assert await ask(loader, "m", [[1, 2, 3]]) == [[2, 4, 6]]
        path.unlink()
        with pytest.raises(NotFound, match="failed to load 'm', it is not in the repository"):
            await loader.reload("m")
        assert await ask(loader, "m", [[1, 2, 3]]) == [[2, 4, 6]]

    at([tmp_path], test)


def test_versions_take_over_together_or_not_at_all(scaler: Scaler, tmp_path: Path) -> None:
    for version in (1, 2):
        scaler(tmp_path / f"m/{version}/model.onnx", version)
    config = tmp_path / "m/config.pbtxt"
    config.write_text("version_policy { all {} }")

    async def test(loader: Loader) -> None:
        await loader.load_all()
        served = {s.entry.version: s.model for s in loader.repository.slots()}
        scaler(tmp_path / "m/1/model.onnx", 10)
        scaler(tmp_path / "m/2/model.onnx", 20)
        config.write_text("max_batch_size: 4 version_policy { all {} }")
        (tmp_path / "m/3").mkdir()
        (tmp_path / "m/3/model.onnx").write_bytes(b"half of")
        with pytest.raises(BadArtefact, match=r"m/3/model\.onnx"):
            await loader.reload("m")
        assert {s.entry.version: s.model for s in loader.repository.slots("m") if s.model} == served
        assert all(s.entry.config.max_batch_size == 0 for s in loader.repository.slots("m") if s.model)
        (third,) = (s for s in loader.repository.slots("m") if s.model is None)
        assert (third.state, third.entry.version) == (UNAVAILABLE, "3") and "m/3/model.onnx" in third.reason
        assert await ask(loader, "m", [[1, 2, 3]]) == [[2, 4, 6]]
        scaler(tmp_path / "m/3/model.onnx", 30)
        shutil.rmtree(tmp_path / "m/1")
        seen: list[list[str]] = []
        loader.repository.listeners.append(lambda: seen.append(loader.repository.versions("m")))
        await loader.reload("m")
        assert seen == [["2", "3"]], "changed once"
        assert [s.entry.version for s in loader.repository.slots("m")] == ["2", "3"]
        assert await ask(loader, "m", [[1, 2, 3]]) == [[30, 60, 90]]

    at([tmp_path], test)


def test_golden_samples_come_before_traffic(scaler: Scaler, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gantline.loader")
    good = gantline.package(scaler(tmp_path / "a/two.onnx", 2), name="m", output=tmp_path / "m.pkg")

    async def test(loader: Loader) -> None:
        await loader.load_all()
        assert re.search(r"'m' version 1: 1 golden sample held, in [\d.]+ ms", caplog.text)
        other(good, scaler(tmp_path / "a/three.onnx", 3))
        with pytest.raises(VerificationFailed, match=r"^m\.pkg/golden/.*: replayed, output 'y': relative error"):
            await loader.reload("m")
        assert await ask(loader, "m", [[1, 2, 3]]) == [[2, 4, 6]]

    at([tmp_path / "m.pkg"], test)

    async def without(loader: Loader) -> None:
        await loader.load_all()
        assert await ask(loader, "m", [[1, 2, 3]]) == [[3, 6, 9]]

    at([tmp_path / "m.pkg"], without, no_replay="true")


def other(package: Package, model: Path) -> None:
    """Put another model in a package's place, with the samples of the one before."""
    with publish_directory(package.path, overwrite=True) as work:
        shutil.copytree(package.path, work, dirs_exist_ok=True)
        shutil.copy(model, work / package.manifest.model)
        seal(work, package.manifest, {})


def test_a_successor_takes_over_without_losing_a_request(zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    shutil.copy(zoo / "double.onnx", path)

    async def test(loader: Loader) -> None:
        await loader.load_all()
        (slot,) = loader.repository.slots()
        stop = False

        async def on_and_on() -> int:
            count = 0
            while not stop:
                assert await ask(loader, "m", [[count, 0, 0]]) == [[2 * count, 0, 0]]
                count += 1
            return count

        asking = [asyncio.ensure_future(on_and_on()) for _ in range(4)]
        models = set()
        for _ in range(5):
            await loader.reload("m")
            models.add(slot.model)
        stop = True
        assert sum(await asyncio.gather(*asking)) > 0 and len(models) == 5

    at([path], test)


def test_what_is_done_to_one_model_is_done_in_turn(scaler: Scaler, tmp_path: Path) -> None:
    """Loads asked for while one runs are one load more; an unload between them keeps its place."""
    path = scaler(tmp_path / "m.onnx", 2)
    other = scaler(tmp_path / "other.onnx", 5)

    async def test(loader: Loader) -> None:
        await loader.load_all()
        looked: list[str] = []
        begun, go_on = threading.Event(), threading.Event()
        assert loader.shelf is not None
        find = loader.shelf.find

        def held(name: str, *rest: Any) -> Any:
            looked.append(name)
            found = find(name, *rest)
            if looked == ["m"]:
                begun.set()
                assert go_on.wait(20)
            return found

        loader.shelf.find = held  # type: ignore[assignment, method-assign]
        first = asyncio.ensure_future(loader.reload("m"))
        await asyncio.to_thread(begun.wait, 20)
        scaler(path, 3)  # after the first has looked
        joined = [asyncio.ensure_future(loader.reload("m")) for _ in range(5)]
        await asyncio.sleep(0)
        joined[0].cancel()
        await loader.reload("other")  # which does not wait
        assert looked == ["m", "other"] and not first.done()
        unloading = asyncio.ensure_future(loader.unload("m"))
        await asyncio.sleep(0)
        after = [asyncio.ensure_future(loader.reload("m")) for _ in range(3)]
        go_on.set()
        await first
        await asyncio.gather(*joined[1:], unloading, *after)
        assert looked == ["m", "other", "m", "m"] and joined[0].cancelled()
        assert await ask(loader, "m", [[1, 2, 3]]) == [[3, 6, 9]]
        assert await ask(loader, "other", [[1, 2, 3]]) == [[5, 10, 15]]

    at([path, other], test)


def test_an_unloaded_model_answers_what_it_has_accepted(zoo: Path) -> None:
    async def test(loader: Loader) -> None:
        await loader.load_all()
        (slot,) = loader.repository.slots("double")
        model = slot.model
        assert model is not None
        asked = [asyncio.ensure_future(ask(loader, "double", [[i, 0, 0]])) for i in range(200)]
        await asyncio.sleep(0)
        await loader.unload("double")
        assert len(model.batcher) == 0
        assert [(await a)[0][0] for a in asked] == [2 * i for i in range(200)]
        assert (slot.state, slot.reason, slot.model) == (UNAVAILABLE, "unloaded", None)
        await loader.unload("double")  # once more does nothing
        await loader.reload("double")
        assert await ask(loader, "double", [[1, 2, 3]]) == [[2, 4, 6]]

    at([zoo], test)


def test_loading_while_unloading_ends_loaded(zoo: Path) -> None:
    async def test(loader: Loader) -> None:
        await loader.load_all()
        (slot,) = loader.repository.slots("double")
        model = slot.model
        assert model is not None
        release = threading.Event()
        run = model.session.engine.run

        def held(inputs: Any, outputs: Any) -> Any:
            assert release.wait(20)
            return run(inputs, outputs)

        model.session.engine.run = held  # type: ignore[method-assign]
        model.dispatch.batch_ns = 10**12  # so it runs on a thread
        asked = asyncio.ensure_future(ask(loader, "double", [[1, 2, 3]]))
        await asyncio.sleep(0)
        unloading = asyncio.ensure_future(loader.unload("double"))
        await asyncio.sleep(0)
        await loader.reload("double")
        release.set()
        await unloading
        assert slot.state == READY and slot.model is not None and await asked == [[2, 4, 6]]

    at([zoo], test)


def test_what_is_not_there(zoo: Path, tmp_path: Path) -> None:
    async def test(loader: Loader) -> None:
        with pytest.raises(NotFound, match="failed to load 'none', it is not in the repository"):
            await loader.reload("none")
        (tmp_path / "double.pkg").mkdir()
        (tmp_path / "double.pkg/manifest.json").write_text("{")
        with pytest.raises(BadArtefact, match=r"double\.pkg/manifest\.json: not JSON"):
            await loader.reload("double")
        (slot,) = loader.repository.slots("double")
        assert slot.state == UNAVAILABLE and slot.reason.startswith(
            f"{tmp_path.name}/double.pkg/manifest.json: not JSON"
        )

    (tmp_path / "empty").mkdir()
    shutil.copy(zoo / "lookup.onnx", tmp_path)
    at([tmp_path], test)


def test_no_error_tells_where_the_repository_lies(scaler: Scaler, tmp_path: Path) -> None:
    root = scaler(tmp_path / "models/a/1/model.onnx", 2).parents[2]
    (root / "b").mkdir()
    (root / "b/config.pbtxt").write_text("nonsense")

    async def test(loader: Loader) -> None:
        reasons = {s.entry.name: s.reason for s in loader.repository.slots()}
        assert reasons["b"].startswith("models/b/config.pbtxt:1"), "also before it was tried"
        await loader.load_all()
        scaler(root / "a.onnx", 2)  # two of one name
        for name, config, message in (
            ("a", "", "model 'a' is in models/a and in models/a.onnx; serve one of them"),
            ("b", "", "models/b/config.pbtxt:1: "),
            ("b", "{", "the configuration given for models/b/config.pbtxt: "),
        ):
            with pytest.raises(GantlineError) as raised:
                await loader.reload(name, config)
            assert raised.value.message.startswith(message) and str(tmp_path) not in raised.value.message

    at([root], test, model_control="explicit")


def test_a_model_whose_files_are_given(scaler: Scaler, tmp_path: Path) -> None:
    given = f"given-{time.time_ns()}"  # other processes have such, too

    def temporary() -> list[Path]:
        return list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{given}"))

    text = base64.b64encode(scaler(tmp_path / "x.onnx", 7).read_bytes()).decode()

    async def test(loader: Loader) -> None:
        await loader.load_all()
        await loader.reload(given, '{"max_batch_size": 3}', {"1/model.onnx": text})
        assert await ask(loader, given, [[1, 2, 3]]) == [[7, 14, 21]] and len(temporary()) == 1
        assert loader.repository.find(given).max_rows == 3
        with pytest.raises(BadArtefact, match=rf"^{given}/1/model\.onnx: onnxruntime") as raised:
            await loader.reload(given, "{}", {"1/model.onnx": "AAAA"})
        assert tempfile.gettempdir() not in raised.value.message
        assert await ask(loader, given, [[1, 2, 3]]) == [[7, 14, 21]] and len(temporary()) == 1
        await loader.reload(given, "{}", {"4/model.onnx": text})
        assert loader.repository.versions(given) == ["4"] and len(temporary()) == 1
        await loader.unload(given)
        with pytest.raises(NotFound):
            await loader.reload(given)
        assert temporary() == []

    at([tmp_path / "x.onnx"], test)


def test_a_load_that_ends_when_the_server_does(zoo: Path) -> None:
    """It is not put into service, and leaves nothing behind."""

    async def test(loader: Loader) -> None:
        loading = asyncio.ensure_future(loader.reload("double"))
        await asyncio.sleep(0)
        await loader.close()
        with pytest.raises(Unavailable, match="the server is stopping"):
            await loading
        assert loader.repository.routes == {}

    at([zoo / "double.onnx"], test)


def test_the_model_s_own_queue_and_batch_settings(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gantline.toml").write_text("[model.double]\nmax_queue_rows = 7\nmax_batch_size = 5\n")

    async def test(loader: Loader) -> None:
        await loader.load_all()
        batcher = loader.repository.find("double").batcher
        assert (batcher.max_rows, batcher.policy.max_queue_rows) == (5, 7)

    at([zoo / "double.onnx"], test)


@pytest.mark.slow
def test_a_thousand_models_in_one_directory(zoo: Path, tmp_path: Path) -> None:
    for i in range(1000):
        folder = tmp_path / f"m{i:04}" / "1"
        folder.mkdir(parents=True)
        (folder / "model.onnx").hardlink_to(zoo / "double.onnx")

    async def test(loader: Loader) -> None:
        assert await loader.load_all() == []
        assert len(loader.repository.routes) == 2000
        assert await ask(loader, "m0999", [[1, 2, 3]]) == [[2, 4, 6]]

    at([tmp_path], test)


def test_tickets_know_their_model(zoo: Path) -> None:
    async def test(loader: Loader) -> None:
        await loader.load_all()
        model = loader.repository.find("double")
        kept: list[Ticket] = []
        model.submit(Request({"x": np.zeros((1, 3), np.float32)}), NOBODY, NOBODY, lambda t, o, e: kept.append(t))
        await model.dispatch.drain()
        assert kept[0].context is model

    at([zoo / "double.onnx"], test)
