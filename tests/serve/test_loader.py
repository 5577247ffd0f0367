"""Loading, replacing and letting go, on real models."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.serve.entry import Entry
from gantline.serve.loader import DEFAULT_MAX_ROWS, Loader
from gantline.serve.repository import READY, UNAVAILABLE, Repository
from gantline.serve.repository_layout import find_entries
from gantline.serve.ticket import Ticket

from gantline.errors import BadArtefact, NotFound
from gantline.packages import Package
from gantline.request import Request
from gantline.settings import ServeSettings, resolve

NOBODY: Any = type("Nobody", (), {"closed": False})()


def at(refs: list[Path], test: Callable[[Loader], Awaitable[None]], find: Any = None, **flags: str) -> None:
    async def run() -> None:
        repository = Repository(find_entries([str(r) for r in refs]))
        with ThreadPoolExecutor(2) as pool:
            loader = Loader(repository, resolve(ServeSettings, flags, {}), pool, pool, find)
            await asyncio.wait_for(test(loader), 60)
            await loader.close()
            assert all(s.model is None for s in repository.slots())

    asyncio.run(run())


def entry(path: Path, name: str = "m", version: str = "1") -> Entry:
    return Entry(name, version, Package.bare(path, name, version))


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


def test_rows_are_stacked_only_where_they_are_independent(zoo: Path) -> None:
    async def test(loader: Loader) -> None:
        await loader.load_all()
        rows = {s.entry.name: s.model.max_rows for s in loader.repository.slots() if s.model}
        assert rows == {"double": DEFAULT_MAX_ROWS, "lookup": DEFAULT_MAX_ROWS, "positive": 0, "centre": 0, "toil": 0}

    at([zoo], test)


def test_a_successor_that_fails_leaves_the_old_one_serving(zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    shutil.copy(zoo / "double.onnx", path)

    async def test(loader: Loader) -> None:
        await loader.load_all()
        (slot,) = loader.repository.slots()
        old = slot.model
        path.write_bytes(b"no model")
        with pytest.raises(BadArtefact, match=r"m\.onnx"):
            await loader.load(slot)
        assert slot.model is old and slot.state == READY
        assert await ask(loader, "m", [[1, 2, 3]]) == [[2, 4, 6]]
        path.unlink()
        with pytest.raises(BadArtefact, match=r"m\.onnx"):
            await loader.load(slot)
        assert await ask(loader, "m", [[1, 2, 3]]) == [[2, 4, 6]]

    at([path], test)


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
        models = {await loader.load(slot) for _ in range(5)}
        stop = True
        assert sum(await asyncio.gather(*asking)) > 0 and len(models) == 5 and slot.model in models

    at([path], test)


def test_an_unloaded_model_answers_what_it_has_accepted(zoo: Path) -> None:
    async def test(loader: Loader) -> None:
        await loader.load_all()
        (slot,) = loader.repository.slots("double")
        model = slot.model
        assert model is not None
        asked = [asyncio.ensure_future(ask(loader, "double", [[i, 0, 0]])) for i in range(200)]
        await asyncio.sleep(0)
        await loader.unload(slot)
        assert len(model.batcher) == 0
        assert [(await a)[0][0] for a in asked] == [2 * i for i in range(200)]
        assert (slot.state, slot.reason, slot.model) == (UNAVAILABLE, "unloaded", None)
        await loader.unload(slot)  # once more does nothing
        await loader.load(slot)
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
        unloading = asyncio.ensure_future(loader.unload(slot))
        await asyncio.sleep(0)
        await loader.load(slot)
        release.set()
        await unloading
        assert slot.state == READY and slot.model is not None and await asked == [[2, 4, 6]]

    at([zoo], test)


def test_looking_again_at_what_lies_there(zoo: Path, tmp_path: Path) -> None:
    there: list[Entry] = []

    async def test(loader: Loader) -> None:
        with pytest.raises(NotFound, match="failed to load 'm', it is not in the repository"):
            await loader.reload("m")
        there[:] = [entry(zoo / "double.onnx", version="1"), entry(zoo / "double.onnx", version="2")]
        await loader.reload("m")
        assert loader.repository.versions("m") == ["1", "2"]
        there[:] = [entry(zoo / "double.onnx", version="3")]
        await loader.reload("m")
        assert loader.repository.versions("m") == ["3"] and [s.entry.version for s in loader.repository.slots("m")] == [
            "3"
        ]
        there[:] = [Entry("m", "4", None, problem="m: damaged")]
        with pytest.raises(BadArtefact, match="m: damaged"):
            await loader.reload("m")
        assert loader.repository.versions("m") == ["3"]

    empty = tmp_path / "double.onnx"
    shutil.copy(zoo / "double.onnx", empty)
    at([empty], test, find=lambda name, config: there)


def test_an_entry_with_a_problem_says_it(zoo: Path) -> None:
    async def test(loader: Loader) -> None:
        slot = loader.repository.add(Entry("bad", "1", None, problem="bad: no model.onnx"))
        with pytest.raises(BadArtefact, match=r"bad: no model\.onnx"):
            await loader.load(slot)
        assert (slot.state, slot.reason) == (UNAVAILABLE, "bad: no model.onnx")

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
        started = time.perf_counter()
        assert await loader.load_all() == []
        sys.stdout.write(f"1,000 models loaded in {time.perf_counter() - started:.1f} s\n")
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
