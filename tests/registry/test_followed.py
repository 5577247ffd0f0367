"""What a server follows: REFs with an alias, brought here and held."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gantline.serve.process import follower as module
from gantline.serve.process.follower import Follower

from gantline.errors import BadArtefact, GantlineError, Unreachable, UsageError
from gantline.packages import Package
from gantline.registry import checkout
from gantline.registry.database import clock
from gantline.registry.followed import Followed
from gantline.registry.presence import Presence
from gantline.registry.registry import Registry
from gantline.registry.usage import served as served_of
from gantline.registry.version import Version

MakePackage = Callable[..., Package]


def test_aliases_alone_are_followed(tmp_path: Path, make: MakePackage) -> None:
    where = str(tmp_path / "r")
    with Registry.open(where) as registry:
        version = registry.register(make(), alias="champion")
    for ref in ("registry://iris", "registry://iris:1", "registry://iris@latest", f"registry://iris@{version.digest}"):
        with Presence(Registry.open(where)) as presence:
            place, one = Followed.of(0, ref, presence)
            assert one is None and (Path(place) / "1" / "manifest.json").is_file()
        checkout.let_go(version.digest)
    assert checkout.leased() == set()
    with Presence(Registry.open(where)) as presence:
        place, one = Followed.of(3, "registry://iris@champion", presence)
    assert (
        one is not None
        and one.place == place
        and str(one) == "iris@champion"
        and str(one.reference) == "registry://iris@champion"
    )
    assert (one.at, one.version, one.digest) == (3, 1, version.digest)
    assert (Path(one.place) / "1" / "manifest.json").is_file() and checkout.leased() == {version.digest}
    told = {"name": "iris", "alias": "champion", "version": 1, "serves": True, "failures": 0}
    assert one.to_json() == told
    one.failed, one.failures = 2, 1
    assert one.to_json() == {**told, "version": 2, "serves": False, "failures": 1}


class Workers:
    """What a follower has all workers do, and what they say: their number, an error, or that something is in use."""

    def __init__(self) -> None:
        self.done: list[str] = []  # the versions that were to serve
        self.told: dict[str, Any] = {}
        self.number = 2
        self.error: GantlineError | None = None
        self.busy: list[str] = []

    async def act(self, verb: str, arguments: dict[str, Any], effect: object) -> list[Any]:
        if verb == "following":
            self.told = arguments
        elif verb == "follow":
            self.done.append(Path(arguments["place"]).name)
            if self.error is not None:
                raise self.error
        return [self.busy if verb == "leaving" else None] * self.number


def test_a_follower_does_what_the_log_says_once(registry: Registry, where: str, make: MakePackage) -> None:
    digests = [registry.register(make(factor=factor)).digest for factor in (2, 3, 4)]
    registry.promote("iris:1", "champion")
    presence = Presence(Registry.open(where))
    _, one = Followed.of(0, "registry://iris@champion", presence)
    assert one is not None
    workers = Workers()
    follower = Follower([one], presence, 1.0, workers.act)

    def served() -> set[int]:
        """The versions that the registry does not let go."""
        with registry.database.reading() as connection:
            found = [served_of(connection, d, clock(connection)) for d in digests]
        return {one.version for these in found for one in these}

    async def follow() -> None:
        await follower.look()
        assert workers.done == [] and workers.told == {"aliases": [one.to_json()], "reachable": True}
        workers.number = 0
        registry.promote("iris:2", "champion")
        await follower.look()
        assert one.version == 1 and workers.done == ["iris-2"]
        workers.number, workers.busy = 2, [one.place]
        await follower.look()  # again: there was nobody to do it
        assert one.version == 2 and workers.done == ["iris-2"] * 2
        assert checkout.leased() == set(digests[:2]) and served() == {1, 2}, "a stream goes on in some worker"
        with pytest.raises(UsageError, match="iris:1 is served by"):
            registry.remove("iris:1")
        workers.busy = []
        await follower.look()
        assert checkout.leased() == {digests[1]} and workers.done == ["iris-2"] * 2 and served() == {2}

        workers.error = BadArtefact("torn")
        registry.promote("iris:3", "champion")
        for _ in range(2):
            await follower.look()
        assert workers.done[2:] == ["iris-3"] and (one.version, one.failed) == (2, 3)
        assert checkout.leased() == {digests[1]}
        with pytest.raises(BadArtefact, match="failed to load 'iris', torn"):
            await follower.asked("load", {"name": "iris", "config": "", "files": {}})
        await follower.asked("load", {"name": "iris", "config": "{}"})
        await follower.asked("unload", {"name": "iris"})
        assert workers.done[2:] == ["iris-3"] * 2 and workers.told["aliases"][0]["failures"] == 2
        registry.release("iris", "champion")
        await follower.look()
        assert one.failed == 0 and workers.done[4:] == []
        workers.error = None
        registry.promote("iris:3", "champion")
        await follower.look()
        assert workers.done[4:] == ["iris-3"] and checkout.leased() == {digests[2]} and served() == {3}

    asyncio.run(follow())
    presence.close()
    assert served() == set()
    checkout.let_go(digests[2])


class Slow(Presence):
    """One whose iris:2 cannot be had, and whose iris:3 is brought only when somebody lets it."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self.let = threading.Event()
        self.away = True

    def take(self, ref: str) -> tuple[Version, Path]:
        if ref.endswith("iris:2") and self.away:
            raise Unreachable("blobs: no answer")
        if ref.endswith("iris:3"):
            assert self.let.wait(30)
        return super().take(ref)


def test_a_package_that_is_not_had_holds_up_no_other_alias(
    registry: Registry, where: str, make: MakePackage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    digests = {
        f"{name}:{version}": registry.register(make(name, factor=len(name) * version)).digest
        for name in ("iris", "tulip") for version in (1, 2, 3)
    }  # fmt: skip
    presence = Slow(Registry.open(where))
    aliases: list[Followed] = []
    for at, name in enumerate(("iris", "tulip")):
        registry.promote(f"{name}:1", "champion")
        _, one = Followed.of(at, f"registry://{name}@champion", presence)
        assert one is not None
        aliases.append(one)
    workers = Workers()
    follower = Follower(aliases, presence, 1.0, workers.act)

    async def look_until(*want: int) -> None:
        end = time.monotonic() + 30
        while True:
            await follower.look()
            if [one.version for one in aliases] == list(want):
                return
            assert time.monotonic() < end, [one.version for one in aliases]

    async def follow() -> None:
        await follower.look()
        registry.promote("iris:2", "champion")
        registry.promote("tulip:2", "champion")
        await follower.look()
        assert [one.version for one in aliases] == [1, 2] and workers.told["reachable"] is False
        presence.away = False
        await follower.look()
        assert [one.version for one in aliases] == [2, 2] and workers.told["reachable"] is True
        monkeypatch.setattr(module, "BRING_S", 0.01)
        registry.promote("iris:3", "champion")
        registry.promote("tulip:3", "champion")
        await look_until(2, 3)
        assert workers.told["reachable"] is True
        assert caplog.text.count("iris:3 is still being brought here") == 1
        registry.promote("iris:1", "champion")
        await look_until(1, 3)
        presence.let.set()
        end = time.monotonic() + 30
        while follower._bringing:  # nobody wants it any more
            await follower.look()
            assert time.monotonic() < end
        assert checkout.leased() == {digests["iris:1"], digests["tulip:3"]}
        registry.promote("iris:3", "champion")
        await look_until(3, 3)
        assert checkout.leased() == {digests["iris:3"], digests["tulip:3"]}

    asyncio.run(follow())
    presence.close()
    for one in aliases:
        checkout.let_go(one.digest)
