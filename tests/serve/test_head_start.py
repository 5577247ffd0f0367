"""Models that are opened before the loader is there: once, by whoever takes them, and let go if nobody does."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gantline.serve import head_start, opening
from gantline.serve.entry import Entry
from gantline.serve.head_start import HeadStart, choose
from gantline.serve.loader import Loader
from gantline.serve.repository import Repository
from gantline.serve.shelf import Shelf

from gantline.errors import BadArtefact
from gantline.packages import Package
from gantline.settings import Resolved, ServeSettings, resolve


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was opened, in order."""
    names: list[str] = []

    def open_version(entry: Entry, *more: Any) -> opening.Opened:
        names.append(entry.name)
        return original(entry, *more)

    original = opening.open_version
    monkeypatch.setattr(head_start, "open_version", open_version)
    monkeypatch.setattr("gantline.serve.loader.open_version", open_version)
    return names


@pytest.fixture
def entries(zoo: Path, tmp_path: Path) -> list[Entry]:
    """One that loads, and one that does not."""
    shutil.copy(zoo / "double.onnx", tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08garbage")
    return Shelf([str(tmp_path)], settled()).entries()


def settled(**flags: str) -> Resolved[ServeSettings]:
    return resolve(ServeSettings, flags, {})


def load_all(resolved: Resolved[ServeSettings], entries: list[Entry], head: HeadStart) -> dict[str, str]:
    """What a loader makes of them: the reason of each that does not serve, and which grew by how much is not told."""

    async def run() -> dict[str, str]:
        repository = Repository(entries)
        with ThreadPoolExecutor(4) as pool:
            loader = Loader(repository, resolved, pool, pool, head_start=head)
            await loader.load_all()
            reasons = {s.entry.name: s.reason for s in repository.slots()}
            assert all(s.model is None or s.model.growth == 0 for s in repository.slots())
            await loader.close()
        return reasons

    return asyncio.run(run())


def test_each_is_opened_once_and_the_loader_has_it(entries: list[Entry], opened: list[str]) -> None:
    resolved = settled()
    with HeadStart(resolved) as head:
        head.begin(entries)
        reasons = load_all(resolved, entries, head)
        assert reasons["double"] == "" and "onnxruntime" in reasons["broken"]
        assert sorted(opened) == ["broken", "double"]
        assert repr(head) == "<HeadStart []>"
        assert load_all(resolved, entries, head)["double"] == "" and opened[2:] == ["broken", "double"], "as ever"


def test_another_entry_of_the_same_name_is_another(entries: list[Entry], opened: list[str]) -> None:
    """What lies there may have been looked at again meanwhile."""
    double = next(e for e in entries if e.name == "double")
    with HeadStart(settled()) as head:
        head.begin([double])
        assert head.take(replace(double)) is None
        future = head.take(double)
        assert future is not None and head.take(double) is None
        future.result(60).session.close()


def test_what_nobody_takes_is_let_go(entries: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """The server could not start after all."""
    closed: list[str] = []
    monkeypatch.setattr("gantline.accelerators.session.Session.close", lambda self: closed.append(self.package.name))
    with HeadStart(settled()) as head:
        head.begin(entries)
        futures = [future for _, future in head._begun]
    (error,) = [e for f in futures if (e := f.exception(60)) is not None]
    assert isinstance(error, BadArtefact) and closed == ["double"]


@pytest.fixture
def named(zoo: Path) -> Iterator[Any]:
    """`named("a", "b")`: entries of one model under these names."""
    package = Package.bare(zoo / "double.onnx", "double")
    yield lambda *names: [Entry(name, "1", package) for name in names]


def test_the_first_of_what_is_loaded_at_the_start(named: Any) -> None:
    settings, many = settled().settings, named(*"abcdef")
    assert [e.name for e in choose(many, settings)] == ["a", "b", "c", "d"]
    later = settled(model_control="explicit", load_model="f,b").settings
    assert [e.name for e in choose(many, later)] == ["b", "f"]
    assert choose(many, settled(load="on-demand").settings) == []
    assert choose([Entry("a", "1", None, problem="broken")], settings) == []


def test_an_engine_that_takes_long_to_import_waits(named: Any) -> None:
    (entry,) = named("a")
    package = replace(entry.package, manifest=replace(entry.package.manifest, engine="torch"))
    assert choose([replace(entry, package=package)], settled().settings) == []
