"""Loader: brings entries to life and lets them go. The slow part runs on a thread, the change on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeAlias

from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.session import Session, rows_are_independent
from gantline.accelerators.warming import warm_up

from gantline.errors import BadArtefact, GantlineError, NotFound, UsageError
from gantline.settings import Resolved, ServeSettings

from .configured import open_session
from .entry import Entry
from .model import Model
from .repository import LOADING, UNAVAILABLE, UNLOADING, Repository, Slot
from .tuning import Tuning, said_of, tune

DEFAULT_MAX_ROWS = 64  # for a model file that says nothing and whose rows turn out independent
_log = logging.getLogger("gantline.loader")


# model name, configuration as JSON or "" -> what lies there now
Find: TypeAlias = Callable[[str, str], list[Entry]]


class Loader:
    """Loads and unloads the models of one repository."""

    def __init__(
        self, repository: Repository, resolved: Resolved[ServeSettings], pool: Executor, waiting: Executor,
        find: Find | None = None,
    ) -> None:  # fmt: skip
        """`pool` computes; `waiting` is for what takes long and computes little, or elsewhere."""
        self.repository = repository
        self._find = find
        self.resolved = resolved
        self._pool = pool
        self._waiting = waiting

    async def load_all(self, progress: Callable[[int, int, Slot], None] | None = None) -> list[Slot]:
        """Load everything known, in order; those that failed are returned, with their reason, and the rest serves."""
        slots = [s for s in self.repository.slots() if s.model is None]
        for i, slot in enumerate(slots):
            try:
                await self.load(slot)
            except GantlineError as e:
                _log.error("model '%s' version %s: %s", slot.entry.name, slot.entry.version, e)
            if progress is not None:
                progress(i + 1, len(slots), slot)
        self.repository.ready = True
        return [s for s in slots if s.model is None]

    async def load(self, slot: Slot) -> Model:
        """Load one version beside the old one, warm it up, then put it in its place. GantlineError if it fails.

        A version that was serving goes on serving when its successor fails.
        """
        entry = slot.entry
        if slot.model is None:
            slot.state, slot.reason = LOADING, ""
        try:
            session, tuning = await asyncio.get_running_loop().run_in_executor(self._waiting, self._open, entry)
        except Exception as e:
            if slot.model is None:
                slot.state, slot.reason = UNAVAILABLE, str(e)
            if isinstance(e, GantlineError):
                raise
            _log.exception("model '%s': load failed", entry.name)
            raise BadArtefact(f"model '{entry.name}' cannot be loaded: {type(e).__name__}: {e}") from e
        pool = self._pool if session.inline else self._waiting
        statistics = self.repository.ledger.of(entry.name, entry.version)
        model = Model(session, entry.name, entry.version, pool, tuning, statistics)
        old = self.repository.publish(slot, model)
        if old is not None:
            await self._let_go(old)
        return model

    async def reload(self, name: str, config: str = "") -> None:
        """Look again where the model lies and load what is there; versions that are gone go out of service last.

        NotFound if it is not there; what served goes on serving when anything fails.
        """
        loop = asyncio.get_running_loop()
        known = [s.entry for s in self.repository.slots(name)]
        there = known if self._find is None else await loop.run_in_executor(self._waiting, self._find, name, config)
        if not there:
            raise NotFound(f"failed to load '{name}', it is not in the repository")
        if all(e.package is None for e in there):
            raise BadArtefact(there[0].problem)
        for entry in there:
            await self.load(self.repository.add(entry))
        for slot in list(self.repository.slots(name)):
            if slot.entry.version not in {e.version for e in there}:
                await self.unload(slot)
                self.repository.forget(slot)

    async def unload(self, slot: Slot) -> None:
        """Take a version out of service; what it has accepted is answered first."""
        if slot.model is None:
            return
        model = self.repository.publish(slot, None, "unloaded")
        slot.state = UNLOADING
        assert model is not None
        await self._let_go(model)
        if slot.state == UNLOADING:  # and not loaded again meanwhile
            slot.state = UNAVAILABLE

    async def close(self) -> None:
        """Unload everything."""
        for slot in list(self.repository.slots()):
            await self.unload(slot)

    async def _let_go(self, model: Model) -> None:
        await model.dispatch.drain()
        if isinstance(model.session.engine, ScriptEngine):
            await model.session.engine.host.drain()  # /score does not go through the dispatch
        await asyncio.get_running_loop().run_in_executor(self._waiting, model.session.close)

    def _open(self, entry: Entry) -> tuple[Session, Tuning]:
        if entry.package is None:
            raise BadArtefact(entry.problem or f"model '{entry.name}' has no package")
        package = entry.package
        said = package.manifest.batching.max_batch_size
        own = {"max_batch_size": said} if said else {}
        settings = self.resolved.model(entry.name, own, said_of(entry.config)).settings
        server = self.resolved.settings
        script = package.manifest.script
        if server.no_pickle and script is not None and script.pickles:
            raise UsageError(
                f"model '{entry.name}': its script unpickles {script.pickles[0]}; --no-pickle refuses that"
            )
        options = EngineOptions(
            threads=settings.threads, timeout_s=settings.timeout_s, memory_limit=settings.memory_limit,
            allow_pickle=not server.no_pickle,
        )  # fmt: skip
        # the digest that the model's metadata tells must be that of what answers; a pickle is read only after this
        package.verify_listed()
        session = open_session(package, options, entry.config)
        try:
            warm_up(session)
            rows = settings.max_batch_size
            known = package.digest is not None or entry.config is not None
            if not rows and not known and rows_are_independent(session):
                rows = DEFAULT_MAX_ROWS
        except BaseException:
            session.close()
            raise
        return session, tune(session, rows, settings, server, entry.config)
