"""Poller: with --model-control poll, has the server follow what lies on the disk.

Every worker looks, and whichever first sees a change has all of them act on it, through control; the others then find
that they have. A worker that starts later reads what lies there then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Executor

from gantline.errors import GantlineError

from .control import Arguments, Control
from .loader import Loader
from .on_demand import OnDemand
from .shelf import Shelf

SETTLE_S = 1.0  # at most, between the look that finds a change and the one that finds it finished
GONE = ""  # the stamp of a model that is not there
_log = logging.getLogger("gantline.poller")


class Poller:
    """Compares the stamps of what lies on the shelf with those that were acted on."""

    def __init__(
        self, shelf: Shelf, loader: Loader, control: Control, interval_s: float, pool: Executor,
        on_demand: OnDemand | None = None,
    ) -> None:  # fmt: skip
        """Of a loader that has loaded nothing since the shelf gave its first entries."""
        self._shelf = shelf
        self._loader = loader
        self._control = control
        self._interval_s = interval_s
        self._pool = pool
        self._on_demand = on_demand
        self._acted = dict(shelf.first_stamps)
        self._before = dict(self._acted)
        self._problem = ""
        # a worker that starts later finds what lies there by itself: nothing is kept for it
        control.register("refresh", self._refresh, subject=lambda a: f"model:{a['name']}", undoes=True)

    async def run(self) -> None:
        """Look for changes until cancelled."""
        while True:
            changing = self._before != self._acted
            await asyncio.sleep(min(self._interval_s, SETTLE_S) if changing else self._interval_s)
            try:
                await self.look()
            except Exception:  # whatever it was, the next look may do
                _log.exception("looking for changes failed; it is tried again")

    async def look(self) -> None:
        """Look once, and act on changes that the look before has seen too: files may be copied at this moment."""
        try:
            now = await asyncio.get_running_loop().run_in_executor(self._pool, self._shelf.scan)
        except GantlineError as e:  # a directory that cannot be read says nothing about its models
            if e.message != self._problem:
                _log.error("%s; what serves goes on", e)
            self._problem = e.message
            return
        self._problem = ""
        changed = settled(self._acted, self._before, now)
        self._before = now
        for name, stamp in changed.items():
            try:
                await self._control.call("refresh", name=name, stamp=stamp)
            except GantlineError as e:
                _log.error("model '%s': what lies there now is not served: %s", name, e)

    async def _refresh(self, arguments: Arguments) -> None:
        """name and stamp: load or unload, unless that was done for this stamp; an error is not tried again."""
        name, stamp = arguments["name"], arguments["stamp"]
        if self._acted.get(name, GONE) == stamp:
            return
        if self._on_demand is not None:
            self._on_demand.changed(name)
        if stamp == GONE:
            del self._acted[name]
            _log.info("model '%s' is gone", name)
            await self._loader.unload(name, forget=True)
        else:
            self._acted[name] = stamp  # of before it is read: what changes meanwhile shows at the next look
            if self._on_demand is not None and not self._loader.repository.loaded(name):
                await self._loader.restock(name)
            else:
                await self._loader.reload(name)


def settled(acted: Mapping[str, str], before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The names, in order, whose stamps differ from those acted on and are as they were when last looked at."""
    return {
        name: now.get(name, GONE)
        for name in sorted({*acted, *now})
        if acted.get(name, GONE) != now.get(name, GONE) == before.get(name, GONE)
    }
