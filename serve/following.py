"""Following: what the follower has this process do: serve a REF from another place, and tell of the aliases."""

from __future__ import annotations

import asyncio

from .control import Arguments, Control
from .loader import Loader
from .on_demand import OnDemand
from .shelf import Shelf
from .telemetry.snapshot import Snapshot, add

UNLOADED = ("", "unloaded")  # the reasons of versions that nobody has tried to load, or that somebody unloaded


class Following:
    """Registers its verbs with the control. Where no alias is followed they are not called, and nothing is told."""

    def __init__(self, shelf: Shelf, loader: Loader, control: Control, on_demand: OnDemand | None = None) -> None:
        self._shelf = shelf
        self._loader = loader
        self._on_demand = on_demand
        self._told: Arguments = {"aliases": [], "reachable": True}
        self._leaving: dict[asyncio.Task[None], str] = {}  # until what served from a place has answered all
        control.register("follow", self._follow, subject=lambda a: f"alias:{a['at']}")
        control.register("leaving", self._places, merge=lambda answers: sorted({p for found in answers for p in found}))
        control.register("following", self._hear, subject=lambda a: "following")

    async def _follow(self, arguments: Arguments) -> None:
        """at, name, place: have the REF of that number stand for another directory, and what lies there serve.

        An error leaves all as it was. A model that is not loaded, and was not to be, is only known from there.
        Returns when it serves: what served before may have streams that go on for long, and is told of by "leaving".
        """
        at, name, place = arguments["at"], arguments["name"], arguments["place"]
        if self._shelf.refs[at] == place:
            return  # this worker has started since, and from there
        before = self._shelf.move(at, place)
        try:
            if self._on_demand is not None:
                self._on_demand.changed(name)
            if self._wanted(name):
                await self._take_over(name, before, place)
            else:
                await self._loader.restock(name)
        except BaseException:
            self._shelf.move(at, before)
            raise

    async def _take_over(self, name: str, before: str, place: str) -> None:
        serves = asyncio.Event()

        def look() -> None:
            if self._serves(name, place):
                serves.set()

        listeners = self._loader.repository.listeners
        listeners.append(look)
        reload, waiting = asyncio.ensure_future(self._loader.reload(name)), asyncio.ensure_future(serves.wait())
        self._leaving[reload] = before
        reload.add_done_callback(self._left)
        try:
            await asyncio.wait((reload, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            listeners.remove(look)
        if not serves.is_set():
            await reload

    def _serves(self, name: str, place: str) -> bool:
        slots = self._loader.repository.slots(name)
        served = [s.entry.package.path for s in slots if s.model is not None and s.entry.package is not None]
        return bool(served) and all(path.is_relative_to(place) for path in served)

    def _left(self, task: asyncio.Task[None]) -> None:
        del self._leaving[task]
        if not task.cancelled():
            task.exception()  # whoever asked for it has been told

    async def _places(self, arguments: Arguments) -> list[str]:
        """The places that something is still answered from, beside those that serve."""
        return sorted(set(self._leaving.values()))

    def _wanted(self, name: str) -> bool:
        """Whether a model is to be loaded: it is, or could not be when it should have been."""
        repository = self._loader.repository
        if repository.loaded(name):
            return True
        return self._on_demand is None and any(s.reason not in UNLOADED for s in repository.slots(name))

    async def _hear(self, arguments: Arguments) -> None:
        """aliases: name, alias, version, serves, failures of each; reachable: whether the registry is."""
        self._told = arguments

    def measure(self, out: Snapshot) -> None:
        """Add the rows of /metrics."""
        for one in self._told["aliases"]:
            who = (one["name"], one["alias"])
            add(out, "gantline_alias_served", int(one["serves"]), *who, str(one["version"]))
            add(out, "gantline_alias_failures", one["failures"], *who)
        if self._told["aliases"]:
            add(out, "gantline_registry_reachable", int(self._told["reachable"]))
