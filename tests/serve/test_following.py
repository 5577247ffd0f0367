"""What one process does when an alias has moved: swaps what serves, and leaves what does not; errors leave all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gantline.serve.admission import ByteBudget
from gantline.serve.control import Control
from gantline.serve.following import Following
from gantline.serve.loader import Loader
from gantline.serve.on_demand import OnDemand
from gantline.serve.repository import Repository
from gantline.serve.shelf import Shelf
from gantline.serve.telemetry.snapshot import Snapshot

from gantline.errors import GantlineError
from gantline.manifest import Manifest
from gantline.packages import seal
from gantline.settings import ServeSettings, resolve


class Desk:
    """One process, as far as following goes, over a REF that is `places[0]`."""

    def __init__(self, places: list[Path], pool: ThreadPoolExecutor, **flags: str) -> None:
        resolved = resolve(ServeSettings, flags, {})
        self.places = places
        self.control = Control()
        shelf = Shelf([str(places[0])], resolved, followed=[0])
        self.loader = Loader(Repository(shelf.entries()), resolved, pool, pool, shelf)
        self.on_demand: OnDemand | None = None
        if resolved.settings.load == "on-demand":
            self.on_demand = OnDemand(self.loader, resolved, 1, ByteBudget(1 << 20))
        self.following = Following(shelf, self.loader, self.control, self.on_demand)
        self.shelf = shelf

    async def follow(self, at: int) -> None:
        await self.control.call("follow", at=0, name="iris", place=str(self.places[at]))

    @property
    def known(self) -> list[tuple[str, bool]]:
        """Each version, and whether it is loaded."""
        return [(s.entry.version, s.model is not None) for s in self.loader.repository.slots("iris")]


@pytest.fixture
def places(tmp_path: Path, zoo: Path) -> list[Path]:
    """Versions 1 and 2, and 3 which is broken, as checkouts are."""
    for version in (1, 2, 3):
        root = tmp_path / f"iris-{version}" / str(version)
        root.mkdir(parents=True)
        (root / "model.onnx").write_bytes((zoo / "double.onnx").read_bytes() if version < 3 else b"torn")
        (root / "note").write_text(str(version))
        seal(root, Manifest("iris", "onnx", "model.onnx"), {})
    return [tmp_path / f"iris-{version}" for version in (1, 2, 3)]


def at(places: list[Path], test: Callable[[Desk], Awaitable[None]], **flags: str) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(4) as pool:
            desk = Desk(places, pool, **flags)
            try:
                if desk.on_demand is None:
                    await desk.loader.load_all()
                await asyncio.wait_for(test(desk), 60)
            finally:
                await desk.loader.close()

    asyncio.run(run())


def test_it_swaps_and_an_error_leaves_all_as_it_was(places: list[Path]) -> None:
    async def test(desk: Desk) -> None:
        await desk.follow(1)
        assert desk.known == [("2", True)]
        with pytest.raises(GantlineError, match="cannot load it"):
            await desk.follow(2)
        assert ("2", True) in desk.known and desk.shelf.refs == [str(places[1])]
        await desk.loader.reload("iris")
        assert desk.known == [("2", True)]
        model = desk.loader.repository.find("iris")
        await desk.follow(1)
        assert desk.loader.repository.find("iris") is model, "from there it serves already"

    at(places, test)


def test_a_stream_that_goes_on_holds_up_nobody(places: list[Path]) -> None:
    async def test(desk: Desk) -> None:
        old = desk.loader.repository.find("iris")
        old.streams += 1
        await desk.follow(1)
        assert desk.known == [("2", True)] and await desk.control.call("leaving") == [str(places[0])]
        await desk.follow(0)
        await desk.follow(1)
        assert desk.known == [("2", True)] and str(places[0]) in await desk.control.call("leaving")
        old.streams -= 1
        while await desk.control.call("leaving"):  # noqa: ASYNC110  # it looks at its streams now and then
            await asyncio.sleep(0.01)

    at(places, test)


def test_what_was_unloaded_stays_so_and_what_failed_is_tried(places: list[Path]) -> None:
    async def unloaded(desk: Desk) -> None:
        await desk.loader.unload("iris")
        await desk.follow(1)
        assert desk.known == [("2", False)]
        await desk.loader.reload("iris")
        assert desk.known == [("2", True)]

    async def failed(desk: Desk) -> None:
        assert desk.known == [("3", False)]
        await desk.follow(1)
        assert desk.known == [("2", True)]

    at(places, unloaded)
    at(places[::-1], failed)


def test_on_demand_the_next_request_loads_the_new_one(places: list[Path]) -> None:
    async def test(desk: Desk) -> None:
        await desk.follow(1)
        assert desk.known == [("2", False)]
        assert await desk.loader.bring("iris") == {} and desk.known == [("2", True)]
        await desk.follow(0)
        assert desk.known == [("1", True)]

    at(places, test, load="on-demand")


def test_metrics_tell_of_aliases_only_where_some_are_followed(places: list[Path]) -> None:
    async def test(desk: Desk) -> None:
        out: Snapshot = {}
        desk.following.measure(out)
        assert out == {}
        alias = {"name": "iris", "alias": "champion", "version": 2, "serves": False, "failures": 1}
        await desk.control.call("following", aliases=[alias], reachable=False)
        desk.following.measure(out)
        assert out == {
            "gantline_alias_served": [[["iris", "champion", "2"], 0]],
            "gantline_alias_failures": [[["iris", "champion"], 1]],
            "gantline_registry_reachable": [[[], 0]],
        }

    at(places, test)
