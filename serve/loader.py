"""Loader: brings models to life and lets them go. The slow part runs on a thread, the change on the event loop.

All versions of a model that serve change together: they are opened beside the old ones, prove themselves, and take
over at once. What is done to one model is done one after the other; different models do not wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from gantline.accelerators.script.engine import ScriptEngine

from gantline.errors import BadArtefact, GantlineError, NotFound, Unavailable
from gantline.settings import Resolved, ServeSettings

from . import memory
from .affinity import Affinity
from .entry import Entry
from .head_start import HeadStart
from .model import Model
from .opening import MAX_LOADING, Opened, open_version, prepare, wanted
from .repository import LOADING, UNAVAILABLE, UNLOADING, Repository, Slot
from .scale import Scale
from .scratch import remove_scratch
from .shelf import Shelf

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("gantline.loader")


@dataclass(eq=False, slots=True)
class _Queued:
    """A load that has not begun: whoever asks for the same meanwhile joins it."""

    wish: tuple[str, dict[str, str]]
    task: asyncio.Task[None]


class Loader:
    """Loads and unloads the models of one repository. `shelf`: where they lie; None: what is known is all."""

    def __init__(
        self, repository: Repository, resolved: Resolved[ServeSettings], pool: Executor, waiting: Executor,
        shelf: Shelf | None = None, head_start: HeadStart | None = None,
    ) -> None:  # fmt: skip
        """`pool` computes; `waiting` is for what takes long and computes little, or elsewhere. `head_start`: what is
        being opened already.
        """
        self.repository = repository
        self.shelf = shelf
        self.affinity = Affinity()
        self.common: Path | None = None  # a folder of all workers, when there are several
        self.resolved = resolved
        self._head_start = head_start
        self._pool = pool
        self._waiting = waiting
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._queued: dict[str, _Queued] = {}
        # of programs in this process, and of scripts: those may take minutes, and must not hold up the others
        self._rooms = {inline: asyncio.Semaphore(MAX_LOADING) for inline in (True, False)}
        self._folders: dict[str, Path] = {}  # of models whose files came in a load request
        self._closing = False
        self.at_start: Collection[str] | None = None  # names to load at the start; None: as the settings say
        self._scale = Scale()
        self._untidy = False  # freed memory has not gone back to the system
        for slot in repository.slots():
            slot.reason = self.shown(slot.reason)

    async def load_all(self, progress: Callable[[int, int, Slot], None] | None = None) -> list[Slot]:
        """Load what the settings want at start; those that failed are returned, with their reason, in order.

        A version that fails keeps neither the others of its model nor other models from serving.
        """
        if self.at_start is not None:
            await self._apart(
                prepare, {s.entry.package.manifest.engine for s in self.repository.slots() if s.entry.package}
            )
        names = self._wanted()
        slots = [s for name in names for s in self.repository.slots(name) if s.model is None]
        tasks = {name: asyncio.ensure_future(self.bring(name)) for name in names}
        try:
            with self.repository.gathering():
                for i, slot in enumerate(slots):
                    errors = await tasks[slot.entry.name]
                    if (error := errors.get(slot.entry.version)) is not None:
                        _log.error("model '%s' version %s: %s", slot.entry.name, slot.entry.version, error)
                    if progress is not None:
                        progress(i + 1, len(slots), slot)
        except BaseException:
            for task in tasks.values():
                task.cancel()
            raise
        self.repository.ready = True
        return [s for s in slots if s.model is None]

    async def reload(self, name: str, config: str = "", files: dict[str, str] | None = None) -> None:
        """Look again where the model lies and put what is there in the place of what serves; all of it or nothing.

        `config` (JSON) and `files` (path in the model's directory -> base64) take the place of what lies there.
        NotFound if it is not there; what served goes on serving when anything fails.
        """
        wish = (config, files or {})
        queued = self._queued.get(name)
        if queued is None or queued.wish != wish:
            queued = self._queued[name] = _Queued(wish, asyncio.ensure_future(self._reload(name, *wish)))
        # one client that leaves does not take the load from those who joined it
        await asyncio.shield(queued.task)

    async def unload(self, name: str, forget: bool = False) -> None:
        """Take a model out of service; what it has accepted is answered first. `forget`: it is no longer there."""
        self._queued.pop(name, None)  # a load asked for from now on comes after this
        async with self._turn(name):
            old = self.repository.withdraw(name, "unloaded")
            folder = self._folders.pop(name, None)
            if forget:
                self.repository.forget(name)
            elif old and not self._closing:
                _log.info("model '%s' is unloaded: what it has accepted is answered", name)
        await self._let_go(old, folder)
        for slot in self.repository.slots(name):
            if slot.state == UNLOADING:  # and not loaded again meanwhile
                slot.state = UNAVAILABLE

    async def retire(self, name: str) -> bool:
        """Unload a model that its next request is to load again. False, and nothing done, if it is at work."""
        async with self._turn(name):
            models = [s.model for s in self.repository.slots(name) if s.model is not None]
            if not all(m.at_rest for m in models):
                return False
            old = self.repository.withdraw(name, "")
            await asyncio.gather(*(self._drain(m) for m in old))
            for slot in self.repository.slots(name):
                if slot.state == UNLOADING:
                    slot.state = UNAVAILABLE
            self._untidy = self._untidy or bool(old)
        return True

    async def tidy(self) -> None:
        """Give what retired models took back to the system: not for each, since all allocations wait for it."""
        if self._untidy:
            self._untidy = False
            await self._apart(memory.give_back)

    async def restock(self, name: str) -> None:
        """Look again where a model lies of which nothing is loaded, and load nothing; NotFound if it is not there.

        One that has been loaded by the time that its turn comes is loaded anew.
        """
        async with self._turn(name):
            cold = not self.repository.loaded(name)
            if cold:
                there, _ = await self._look(name, "", {})
                if not there:
                    raise NotFound(f"failed to find '{name}', it is not in the repository")
                self.repository.restock(name, there)
        if not cold:
            await self.reload(name)

    async def look_again(self, name: str) -> bool:
        """After a load that failed: whether something else lies there than was known. It is known from then on."""
        async with self._turn(name):
            before = [slot.entry for slot in self.repository.slots(name)]
            with suppress(GantlineError):  # nothing that makes sense: what went wrong before is to be told
                there, _ = await self._look(name, "", {})
                there.sort(key=lambda e: int(e.version))
                if there and there != before and not self.repository.loaded(name):
                    self.repository.restock(name, there)
                    _log.info("model '%s': other files lie there than when the server looked", name)
                    return True
        return False

    async def close(self) -> None:
        """Unload everything, at the end of a server that answers nobody any more."""
        self._closing = True
        self.repository.listeners.clear()
        await asyncio.gather(*(self.unload(name) for name in self.repository.names()))

    def _wanted(self) -> list[str]:
        names = self.repository.names()
        if self.at_start is not None:
            return [n for n in names if n in self.at_start]
        return wanted(self.resolved.settings, names)

    async def bring(self, name: str, wanted: Callable[[], bool] = lambda: True) -> dict[str, GantlineError]:
        """Load the versions of a model that are known and not loaded; the errors of those that fail.

        `wanted`: asked when its turn has come; if not, nothing is done.
        """
        async with self._turn(name):
            slots = [s for s in self.repository.slots(name) if s.model is None]
            if not slots or not wanted():
                return {}
            loaded, errors = await self._open([s.entry for s in slots])
            self.repository.swap(name, loaded, whole=False)
        return errors

    async def _reload(self, name: str, config: str, files: dict[str, str]) -> None:
        async with self._turn(name):
            queued = self._queued.get(name)
            if queued is not None and queued.task is asyncio.current_task():
                del self._queued[name]  # from here on what lies there is read: whoever asks later must wait
            there, folder = await self._look(name, config, files)
            try:
                loaded = await self._open_whole(name, there)
            except BaseException:
                if folder is not None:
                    await self._apart(remove_scratch, folder)
                raise
            old = self.repository.swap(name, loaded)
            left = self._folders.pop(name, None)
            if folder is not None:
                self._folders[name] = folder
        versions = ", ".join(e.version for e, _ in loaded)
        if old:
            _log.info("model '%s': version %s has taken over from %s", name, versions, _versions(old))
        else:
            _log.info("model '%s': version %s serves", name, versions)
        await self._let_go(old, left)

    async def _look(self, name: str, config: str, files: dict[str, str]) -> tuple[list[Entry], Path | None]:
        if self.shelf is None:
            return [s.entry for s in self.repository.slots(name)], None
        try:
            return await self._apart(self.shelf.find, name, config, files)
        except GantlineError as e:
            shown = self.shown(e.message)
            if shown == e.message:
                raise
            _log.error("model '%s': %s", name, e)
            raise type(e)(shown) from e

    async def _open_whole(self, name: str, there: list[Entry]) -> list[tuple[Entry, Model]]:
        """Every version, ready to serve, or the first error; then none is left open."""
        if not there:
            raise NotFound(f"failed to load '{name}', it is not in the repository")
        loaded, errors = await self._open(there)
        for version, error in errors.items():
            _log.error("model '%s' version %s: %s", name, version, error)
        if errors:
            await self._let_go([m for _, m in loaded], None)
            first = next(iter(errors.values()))
            raise type(first)(self.shown(first.message))
        return loaded

    async def _open(self, entries: list[Entry]) -> tuple[list[tuple[Entry, Model]], dict[str, GantlineError]]:
        """Models that are ready to serve, and the errors of versions that are not, in the entries' order."""
        slots = [self.repository.add(e) for e in entries]
        for slot in slots:
            if slot.model is None:
                slot.state, slot.reason = LOADING, ""
        found = await asyncio.gather(*(self._open_one(e) for e in entries))
        loaded: list[tuple[Entry, Model]] = []
        errors: dict[str, GantlineError] = {}
        for slot, entry, one in zip(slots, entries, found, strict=True):
            if isinstance(one, Model):
                loaded.append((entry, one))
                continue
            errors[entry.version] = one
            if slot.model is None:
                slot.state, slot.reason = UNAVAILABLE, self.shown(one.message)
        return loaded, errors

    async def _open_one(self, entry: Entry) -> Model | GantlineError:
        async with self._rooms[entry.package is None or entry.package.inline]:
            try:
                with self._scale.weigh() as weighing:
                    opened = await self._opened(entry)
            except GantlineError as e:
                return e
            except Exception as e:
                _log.exception("model '%s': load failed", entry.name)
                return BadArtefact(f"model '{entry.name}' cannot be loaded: {type(e).__name__}: {e}")
        if self._closing:
            await self._apart(opened.session.close)
            return Unavailable(f"model '{entry.name}' is not loaded: the server is stopping")
        model = self._model(entry, opened)
        model.growth = weighing.growth
        return model

    async def _opened(self, entry: Entry) -> Opened:
        begun = self._head_start.take(entry) if self._head_start is not None else None
        if begun is None:
            return await self._apart(open_version, entry, self.resolved, self.common)
        self._scale.stir()  # it has grown before it was weighed
        return await asyncio.wrap_future(begun)

    def _model(self, entry: Entry, opened: Opened) -> Model:
        pool = self._pool if opened.session.inline else opened.attendance.over(self._waiting)
        statistics = self.repository.ledger.of(entry.name, entry.version)
        return Model(opened.session, entry.name, entry.version, pool, opened.tuning, statistics, self.affinity)

    async def _let_go(self, models: list[Model], folder: Path | None) -> None:
        await asyncio.gather(*(self._drain(m) for m in models))
        if models and not self._closing:
            await self._apart(memory.give_back)
        if folder is not None:
            await self._apart(remove_scratch, folder)

    async def _drain(self, model: Model) -> None:
        self._scale.stir()
        while model.streams:  # noqa: ASYNC110  # one may be about to begin, and ends by itself
            await asyncio.sleep(0.01)
        await model.dispatch.drain()
        if model.scores is not None:
            await model.scores.drain()
        if isinstance(model.session.program, ScriptEngine):
            await model.session.program.crew.drain()
        await self._apart(model.session.close)

    async def _apart(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On a thread that may wait."""
        return await asyncio.get_running_loop().run_in_executor(self._waiting, partial(call, *args, **kwargs))

    def _turn(self, name: str) -> asyncio.Lock:
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = asyncio.Lock()
        return turn

    def shown(self, message: str) -> str:
        return message if self.shelf is None else self.shelf.shown(message)


def _versions(models: list[Model]) -> str:
    return ", ".join(sorted((m.version for m in models), key=int))
