"""Follower: has the server follow aliases of a registry. One for a server: in its process, or in the supervisor.

What it decides is done in all workers or in none, by the way that a reload goes: the new version is opened beside the
old one, proves itself, and takes over. It reads the end of the registry's log, and more only when aliases have moved.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from gantline.errors import BadArtefact, GantlineError, NotFound, Unavailable, Unreachable
from gantline.registry.checkout import let_go
from gantline.registry.followed import Followed
from gantline.registry.presence import Presence
from gantline.registry.reference import Reference
from gantline.registry.version import Version

from ..control import Arguments, Effect, Undo

# does a verb in all workers, and gives what each of them answered: nothing when there is none that could
Act = Callable[[str, Arguments, Effect | None], Awaitable[list[Any]]]
READ_S = 20.0  # for the registry to say where aliases point
BRING_S = 20.0  # that other aliases wait for a package to be brought here
MOST_PATIENT = 3  # doublings of the interval, between two looks at a registry that is away
T = TypeVar("T")
_log = logging.getLogger("gantline.follower")


class _Swapped(NamedTuple):
    """A version that is not to serve any more, or could not."""

    name: str
    version: int
    digest: str
    place: str


class _Away(Exception):
    """The registry, or every worker, cannot be asked now: the same is tried again."""


class _Later(Exception):
    """A version is still being brought here."""


class Follower:
    """Some aliases of one registry. This process holds the leases: what serves is not collected, what went may be."""

    def __init__(self, aliases: Sequence[Followed], presence: Presence, interval_s: float, act: Act) -> None:
        self.aliases = list(aliases)
        self._presence = presence
        self._registry = presence.registry
        self._interval_s = interval_s
        self._act = act
        self._position: int | None = None  # the last line of the log that was acted on
        self._misses = 0  # looks in a row that came to nothing
        self._turn = asyncio.Lock()
        self._told: Arguments = {}
        self._reading: asyncio.Future[tuple[int, list[tuple[Followed, Version | None]]]] | None = None
        self._bringing: dict[tuple[str, int], asyncio.Future[tuple[Version, Path]]] = {}  # what takes long
        self._swapped: list[_Swapped] = []  # what served, until nobody is answered from it

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:  # whatever it was, the next look may do
                self._misses += 1
                _log.exception("following aliases failed; it is tried again")
            await asyncio.sleep(self._interval_s * 2 ** min(self._misses, MOST_PATIENT))

    async def asked(self, verb: str, arguments: Arguments) -> None:
        """Before a model is loaded on request: look where its alias points now, and try again what has failed.

        The error of a version that cannot be served.
        """
        name = arguments.get("name", "")
        plain = not (arguments.get("config") or arguments.get("files"))
        if verb == "load" and plain and any(one.name == name for one in self.aliases):
            await self.look(name)

    async def look(self, name: str = "") -> None:
        """Look once, and follow what has moved. `name`: look at this model's alias anyhow, and raise what is wrong."""
        failure: GantlineError | None = None
        away: _Away | None = None
        later = False
        async with self._turn:
            try:
                position, found = await self._ask(name)
            except _Away as e:
                away, position, found = e, 0, []
            for one, version in found:  # what is wrong with one is no reason to leave the others
                try:
                    error = await self._follow(one, version, one.name == name)
                    failure = error if one.name == name and error is not None else failure
                except _Away as e:
                    away = away or e
                except _Later:
                    later = True
            self._looked(away, position, later)
            if away is None:
                self._leave({(v.name, v.version) for _, v in found if v is not None})
            await self._tell()
            await self._let_go()
        if failure is not None:
            raise BadArtefact(f"failed to load '{name}', {failure.message}") from failure

    def _looked(self, away: _Away | None, position: int, later: bool) -> None:
        """Remember how far the log was acted on: not beyond what is to be tried again."""
        if away is not None:
            self._misses += 1
            if self._misses == 1:
                _log.warning("%s; what serves goes on, and it is tried again", away)
            return
        if self._misses:
            _log.info("registry %s: aliases are followed again", self._registry.place)
        self._misses = 0
        if not later:
            self._position = position

    def _leave(self, wanted: set[tuple[str, int]]) -> None:
        """What was brought here at last, when its alias pointed elsewhere, is not needed."""
        for key, bringing in list(self._bringing.items()):
            if bringing.done() and key not in wanted:
                del self._bringing[key]
                if not bringing.cancelled() and bringing.exception() is None:
                    version, path = bringing.result()
                    self._swapped.append(_Swapped(*key, version.digest, str(path.parent)))

    async def _ask(self, name: str) -> tuple[int, list[tuple[Followed, Version | None]]]:
        """What `_read` says. While one does not come back, no second one is begun beside it."""
        reading = self._reading
        if reading is not None:
            await asyncio.wait((reading,), timeout=READ_S)
        if reading is None or reading.done():
            reading = self._reading = asyncio.ensure_future(_apart(partial(self._read, name)))
            reading.add_done_callback(lambda r: r.cancelled() or r.exception())  # nobody may wait for it by then
            await asyncio.wait((reading,), timeout=READ_S)
        if not reading.done():
            raise _Away(f"registry {self._registry.place}: has not answered for {READ_S:g} s")
        self._reading = None
        try:
            return reading.result()
        except GantlineError as e:
            raise _Away(e.message) from e

    def _read(self, name: str) -> tuple[int, list[tuple[Followed, Version | None]]]:
        """Where the log ends, and where aliases point that may have moved: None for one that is gone. Blocks."""
        position, moved = self._registry.moved(self._position)
        found: list[tuple[Followed, Version | None]] = []
        for one in self.aliases:
            if self._position is None or one.name == name or (one.name, one.alias) in moved:
                try:
                    found.append((one, self._registry.get(one.reference)))
                except NotFound:
                    found.append((one, None))
        return position, found

    async def _follow(self, one: Followed, version: Version | None, again: bool) -> GantlineError | None:
        """Serve what an alias points at now; why that cannot be, which is not tried again before it moves.

        `again`: unless somebody asks.
        """
        if version is None:
            _log.warning("%s is no alias any more; version %d goes on serving", one, one.version)
        if version is None or (version.version, version.digest) == (one.version, one.digest):
            one.failed = 0
            return None
        if version.version == one.failed and not again:
            return None
        try:
            path = await self._bring(version)
        except (Unreachable, Unavailable) as e:
            raise _Away(e.message) from e
        except GantlineError as e:
            return _failed(one, version, e)
        place, was = str(path.parent), one.version
        try:
            if not await self._act(*_change(one, place)):
                raise _Away(f"{one} points at version {version.version}, and no worker can be asked")
            self._swapped.append(_Swapped(one.name, one.version, one.digest, one.place))
            one.place, one.version, one.digest, one.failed = place, version.version, version.digest, 0
        except BaseException as e:
            self._swapped.append(_Swapped(version.name, version.version, version.digest, place))
            if isinstance(e, GantlineError):
                return _failed(one, version, e)
            raise
        _log.info("%s: version %d serves (%s), was %d", one, one.version, one.digest, was)
        return None

    async def _bring(self, version: Version) -> Path:
        """A version's directory. It is brought on beside the next looks when that takes long: `_Later`."""
        key = (version.name, version.version)
        bringing = self._bringing.get(key)
        if bringing is None:
            take = partial(self._presence.take, str(Reference(*key)))
            bringing = self._bringing[key] = asyncio.ensure_future(_apart(take))
            bringing.add_done_callback(lambda b: b.cancelled() or b.exception())  # nobody may wait for it by then
            await asyncio.wait((bringing,), timeout=BRING_S)
            if not bringing.done():
                _log.warning("%s is still being brought here; what serves goes on", version.id)
        if not bringing.done():
            raise _Later
        del self._bringing[key]
        return bringing.result()[1]

    async def _let_go(self) -> None:
        """Give back the leases of what nobody is answered from any more."""
        if not self._swapped:
            return
        try:
            answers = await self._act("leaving", {}, None)
        except GantlineError as e:
            _log.warning("what was swapped out is kept for now: %s", e)
            return
        busy = {place for found in answers for place in found}
        gone = [one for one in self._swapped if answers and one.place not in busy]
        self._swapped = [one for one in self._swapped if not answers or one.place in busy]
        for one in gone:
            await _apart(partial(self._release, one))

    def _release(self, gone: _Swapped) -> None:
        try:
            self._presence.leave(gone.name, gone.version)
            let_go(gone.digest)
        except GantlineError as e:  # it is kept until this process ends
            _log.warning("%s", e)

    async def _tell(self) -> None:
        """Let all workers know what /metrics says of this."""
        told = {"aliases": [one.to_json() for one in self.aliases], "reachable": not self._misses}
        if told == self._told:
            return
        try:
            if await self._act("following", told, Effect("following")):
                self._told = told
        except GantlineError as e:
            _log.error("what is followed could not be told to all workers: %s", e)


def _change(one: Followed, place: str) -> tuple[str, Arguments, Effect]:
    """What has all workers serve from another place, and how it is undone where some cannot."""
    arguments = {"at": one.at, "name": one.name, "place": place}
    return "follow", arguments, Effect(f"alias:{one.at}", undo=Undo("follow", {**arguments, "place": one.place}))


def _failed(one: Followed, version: Version, error: GantlineError) -> GantlineError:
    one.failed, one.failures = version.version, one.failures + 1
    _log.error(
        "%s: version %d (%s) cannot be served, version %d goes on: %s",
        one, version.version, version.digest, one.version, error,
    )  # fmt: skip
    return error


async def _apart(call: Callable[[], T]) -> T:
    """On a thread that nobody waits for at the end: a registry that is away may keep it for long."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]  # None is a T where it is returned
            else:
                future.set_exception(error)

    def work() -> None:
        result, error = None, None
        try:
            result = call()
        except Exception as e:
            error = e
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, error)

    Thread(target=work, daemon=True).start()
    return await future
