"""Trace settings: what is kept, what is refused, and the traces that follow, over real models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gantline.accelerators.session import Session
from gantline.serve.control import Control
from gantline.serve.entry import Entry
from gantline.serve.model import Model
from gantline.serve.repository import Repository
from gantline.serve.trace import Trace
from gantline.serve.trace_settings import TraceSettings

from gantline.errors import BadRequest, GantlineError, NotFound, Unsupported, UsageError
from gantline.packages import Package

START = {
    "trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0", "trace_file": "",
    "trace_mode": "triton",
}  # fmt: skip
ON = ["TIMESTAMPS"]


class Desk:
    """Two models, `double` and `lookup`, and settings over them."""

    def __init__(self, zoo: Path, folder: Path | str) -> None:
        self.pool = ThreadPoolExecutor(1)
        packages = [Package.bare(zoo / f"{name}.onnx", name) for name in ("double", "lookup")]
        self.repository = Repository([Entry(p.name, "1", p) for p in packages])
        self.control = Control()
        self.settings = TraceSettings(str(folder), self.repository, self.control, self.pool)
        for slot, package in zip(self.repository.slots(), packages, strict=True):
            model = Model(Session.open(package), package.name, "1", self.pool)
            self.repository.swap(package.name, [(slot.entry, model)])

    async def set(self, model: str = "", **update: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.control.call("trace_settings", model=model, update=update)
        return found

    def trace(self, model: str) -> Trace | None:
        return self.repository.find(model).dispatch.trace


@pytest.fixture
def over(zoo: Path) -> Callable[[Path | str, Callable[[Desk], Awaitable[None]]], None]:
    def run(folder: Path | str, test: Callable[[Desk], Awaitable[None]]) -> None:
        async def main() -> None:
            desk = Desk(zoo, folder)
            try:
                await test(desk)
            finally:
                desk.pool.shutdown()

        asyncio.run(main())

    return run


def test_settings_of_server_and_model(over: Any, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        start = START | {"trace_file": "trace.json"}
        assert await desk.set() == start and await desk.set("double") == start
        assert await desk.set(trace_level=ON, trace_rate="1") == start | {"trace_level": ON, "trace_rate": "1"}
        assert desk.trace("double") is desk.trace("lookup") is not None
        own = await desk.set("double", trace_rate=["5"], trace_file="own.json", trace_mode="triton")
        assert own == start | {"trace_level": ON, "trace_rate": "5", "trace_file": "own.json"}
        assert (await desk.set("lookup"))["trace_rate"] == "1"
        shared = desk.trace("lookup")
        assert desk.trace("double") is not shared is not None
        await desk.set("double", trace_level="OFF")
        assert desk.trace("double") is None and desk.trace("lookup") is shared, "that one goes on"
        await desk.set("double", trace_level=None, trace_rate=None, trace_file=None, trace_mode=None)
        assert desk.trace("double") is shared, "no settings of its own are left"
        assert await desk.set(trace_level=None, trace_rate=None) == start
        assert desk.trace("double") is desk.trace("lookup") is None

    over(tmp_path, test)


def test_a_model_that_is_loaded_later_is_traced(over: Any, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        slot = next(desk.repository.slots("double"))
        (model,) = desk.repository.withdraw("double", "unloaded")
        await desk.set(trace_level=ON)
        assert model.dispatch.trace is None
        desk.repository.swap("double", [(slot.entry, model)])
        assert model.dispatch.trace is desk.trace("lookup") is not None

    over(tmp_path, test)


def test_where_files_go(over: Any, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        def put(*numbers: int) -> None:
            trace = desk.trace("double")
            assert trace is not None
            trace._gathered += [("double", "1", None, (n,) * 7) for n in numbers]

        await desk.set(trace_level=ON)
        put(1, 2)
        await desk.set(trace_level=["OFF"])
        await desk.set(trace_level=ON)
        put(3)
        await desk.set(log_frequency="1", trace_file=str(tmp_path / "many"))
        put(4)
        desk.settings.close()
        assert desk.trace("double") is None

    over(tmp_path, test)
    found = {p.name: [e["id"] for e in json.loads(p.read_text())] for p in tmp_path.iterdir()}
    assert found == {"trace.json": [1, 1, 2, 2], "trace.json.1": [3, 3], "many.0": [4, 4]}


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"trace_rate": "0"}, "from 1 to"),
        ({"trace_rate": 1}, "must be a string"),
        ({"trace_rate": ["1", "2"]}, "must be a string"),
        ({"trace_rate": "²"}, "from 1 to"),
        ({"trace_count": "-2"}, "from -1 to"),
        ({"log_frequency": "9" * 5000}, "from 0 to"),
        ({"trace_level": []}, "must be a list of levels"),
        ({"trace_level": [1]}, "must be a list of levels"),
        ({"trace_level": ["SOME"]}, "'SOME' is not known here"),
        ({"trace_mode": "opentelemetry"}, "'trace_mode' cannot be set"),
        ({"trace_nonsense": "1"}, "'trace_nonsense' cannot be set"),
        ({"trace_nonsense": None}, "must be a string"),
        *(
            ({"trace_file": name}, "and nowhere else")
            for name in ("", "/etc/passwd", "../x", "a/../../x", "a/b", "..", ".", "x" * 300, "a\0b")
        ),
    ],
)
def test_wrong_settings_change_nothing(over: Any, tmp_path: Path, update: dict[str, Any], words: str) -> None:
    async def test(desk: Desk) -> None:
        wanted: dict[str, Any] = {"trace_level": ON} | update
        with pytest.raises(BadRequest, match=words):
            await desk.set(**wanted)
        assert await desk.set() == START | {"trace_file": "trace.json"}
        assert desk.trace("double") is None

    over(tmp_path, test)


def test_what_cannot_be_had(over: Any, zoo: Path, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        assert await desk.set() == START
        updates: list[dict[str, Any]] = [{"trace_level": ON}, {"trace_file": "x"}, {"trace_level": ["TENSORS"]}]
        for update in updates:
            with pytest.raises(Unsupported):
                await desk.set(**update)
        with pytest.raises(NotFound):
            await desk.set("nope")

    over("", test)
    with pytest.raises(UsageError, match="no such directory"):
        TraceSettings(str(tmp_path / "nope"), Repository([]), Control(), ThreadPoolExecutor(1))
    assert issubclass(Unsupported, GantlineError)
