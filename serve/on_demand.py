"""OnDemand: with --load on-demand, loads models when requests for them come, and unloads those that serve nobody.

What goes is decided by residency; how a model comes and goes is the loader's affair. One load serves all who wait for
it; a load that failed is told to everybody, and not tried again at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from time import perf_counter_ns

from gantline.errors import DeadlineExceeded, GantlineError, NotFound, Overloaded, Unavailable
from gantline.settings import Resolved, ServeSettings

from .admission import ByteBudget
from .loader import Loader
from .model import Model
from .opening import MAX_LOADING
from .residency import SESSION, Held, Overhead, Retries, Room, Weights, idle, room_for
from .telemetry.histogram import Histogram
from .telemetry.memory import file_bytes, memory_of, own_memory

MAX_WAITING = 4096  # requests that wait for models to be loaded, of all models together
ROOM_S = 1.0  # how long a load waits for those at work to finish, where they could make room
LOOK_S = 0.02  # between two looks whether they have
TICK_S = 1.0
LEAST_FREED = 8 << 20  # bytes of unloaded models, from which on a trim of the heaps (2 ms) is worth while
RETRY_AFTER_S = 1.0
_MIB = 1 << 20
_log = logging.getLogger("gantline.loader")


@dataclass(eq=False, slots=True)
class _Load:
    """A model that is on its way in: what it is expected to take, once there is room for it, and who waits."""

    began: int
    weight: int = 0
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Tally:
    """What has been done so far, for /metrics. `waits`: from a request's arrival until its model was there."""

    loads: int = 0
    failed: int = 0
    refused: int = 0  # loads that found no room
    evicted: int = 0
    idled: int = 0
    waits: Histogram = field(default_factory=Histogram)


class OnDemand:
    """A standby.Waker. Made and used on the event loop."""

    def __init__(self, loader: Loader, resolved: Resolved[ServeSettings], workers: int, budget: ByteBudget) -> None:
        """`workers`: processes that load models, each under its share of the limit, this one among them."""
        self.repository = repository = loader.repository
        memory = resolved.settings.memory
        self.limit = max(memory // workers, 1) if memory else 0  # bytes that this process's models may weigh; 0: any
        self._whose = "--memory gives" if workers == 1 else f"each of {workers} workers has of --memory"
        self.pinned: set[str] = {name for name in resolved.models if resolved.model(name).settings.pinned}
        self.tally = Tally()
        self._loader = loader
        self._resolved = resolved
        self._budget = budget
        self._weights = Weights()
        self._overhead = Overhead()
        self._base = 0  # bytes of the process before it had models
        self._freed = 0  # bytes of models that were unloaded since the heaps were trimmed
        self._tidying: asyncio.Future[None] | None = None
        self._retries = Retries()
        self._loads: dict[str, _Load] = {}
        self._leaving: set[str] = set()
        self._dismissed: set[str] = set()  # unloaded by a request of an operator, who may load them again
        self._patience: dict[str, int] = {}  # of loaded models, in ns
        self._weight: dict[str, int] = {}  # of loaded models, in bytes
        self._waiting = 0
        # who has to wait for it has not made others go yet; scripts, which may take minutes, hold up scripts only
        self._rooms = {inline: asyncio.Semaphore(MAX_LOADING) for inline in (True, False)}
        self._full = False  # more is pinned than the limit allows: told once
        repository.waker = self
        loader.at_start = self.pinned

    def __repr__(self) -> str:
        return f"<OnDemand {sum(self._weight.values())}/{self.limit} bytes, {len(self._loads)} on their way>"

    # -- asked by whoever looks a model up

    def wakes(self, name: str) -> bool:
        return name not in self._dismissed and self._retries.may(name, perf_counter_ns())

    def wait(self, name: str, deadline: int = 0, size: int = 0) -> asyncio.Future[None]:
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"model '{name}' is not loaded, and {MAX_WAITING} requests wait for models already")
        hold = self._budget.hold(size) if size else None
        loop, now = asyncio.get_running_loop(), perf_counter_ns()
        future = loop.create_future()
        load = self._loads.get(name)
        if load is None:
            load = self._loads[name] = _Load(now)
            load.task = asyncio.ensure_future(self._bring(name, load))
        load.waiters.append(future)
        self._waiting += 1
        patience_s = self._resolved.settings.max_wait_s
        until = min(filter(None, (deadline, now + int(patience_s * 1e9) if patience_s else 0)), default=0)
        timer = None
        if until:
            timer = loop.call_later((until - now) / 1e9, _give_up, future, name, until == deadline)

        def over(_: asyncio.Future[None]) -> None:
            self._waiting -= 1
            self.tally.waits.observe(perf_counter_ns() - now)
            if timer is not None:
                timer.cancel()
            if hold is not None:
                hold.free()

        future.add_done_callback(over)
        return future

    # -- told by whoever changes models otherwise

    def came(self, name: str) -> None:
        """A model was loaded by a request of an operator: it stays until it is unloaded so, and others make room."""
        self.pinned.add(name)
        self._dismissed.discard(name)
        self._retries.forgive(name)
        self._weigh(name)
        asyncio.ensure_future(self._keep_limit()).add_done_callback(_look_at)

    def dismiss(self, name: str) -> None:
        """A model is unloaded by a request of an operator: no other request brings it back."""
        self._dismissed.add(name)
        self.pinned.discard(name)
        self._forget(name)
        for slot in self.repository.slots(name):
            if slot.model is None:
                slot.reason = "unloaded"

    def changed(self, name: str) -> None:
        """Something else lies there now, or nothing."""
        self._retries.forgive(name)
        self._weights.forget(name)
        self._dismissed.discard(name)
        self._forget(name)

    # -- what is there

    def held(self) -> Iterator[Held]:
        """Every model that is in memory or on its way."""
        for name, models in self.repository.resident():
            if name in self._leaving:
                continue
            busy = name in self._loads or not all(m.at_rest for m in models)
            last = max(m.last_ns for m in models)
            weight = self._weight.get(name) or self._weigh(name)
            if models[0].session.inline:  # a script's memory is its own process's
                weight = self._overhead.on(weight)
            yield Held(name, weight, last, name in self.pinned, busy)
        loaded = self.repository.loaded
        yield from (Held(n, load.weight, busy=True) for n, load in self._loads.items() if load.weight and not loaded(n))

    @property
    def loading(self) -> Set[str]:
        """The names of those on their way in."""
        return self._loads.keys()

    # -- in and out

    async def run(self) -> None:
        """Unload what has been idle for too long, and keep the limit as models grow, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.tick(perf_counter_ns())
                if self._freed and not self._loads:
                    await self._tidy()
            except Exception:
                _log.exception("idle models could not be unloaded; it is tried again")

    async def tick(self, now: int) -> None:
        """One look."""
        for name in [n for n in self._weight if not self.repository.loaded(n)]:
            self._forget(name)  # an operator took it away while it was being loaded
        for name, models in self.repository.resident():
            if any(not m.session.inline for m in models):
                self._weight[name] = _bytes_of(models) + SESSION  # a script's memory is its process's, and grows
        await self._keep_limit()
        gone = idle(((h, self._patience.get(h.name, 0)) for h in self.held()), now)
        self.tally.idled += sum(await asyncio.gather(*(self._retire(name, "idle") for name in gone)))

    async def _bring(self, name: str, load: _Load) -> None:
        error: GantlineError | None = None
        try:
            await self._load(name, load)
        except GantlineError as e:
            error = e.with_traceback(None)
        except asyncio.CancelledError:
            error = Unavailable("the server is stopping; try again elsewhere", "stopping")
        except Exception as e:
            _log.exception("model '%s': load failed", name)
            error = Unavailable(f"model '{name}' is not ready: {type(e).__name__}; see the server's log", "not_ready")
        finally:
            del self._loads[name]
        for future in load.waiters:
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    async def _load(self, name: str, load: _Load, again: bool = False) -> None:
        packages = [s.entry.package for s in self.repository.slots(name) if s.entry.package]
        size = sum(map(file_bytes, packages))
        async with self._rooms[all(p.inline for p in packages)]:
            await self._make_room(name, load, size)
            errors = await self._loader.bring(name, lambda: name not in self._dismissed)
            if errors and not self.repository.loaded(name) and await self._loader.look_again(name):
                errors = await self._loader.bring(name, lambda: name not in self._dismissed)
        if not any(self.repository.slots(name)):  # it went while it was waited for
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        if name in self._dismissed:
            raise Unavailable(f"model '{name}' is not ready: unloaded", "not_ready")
        if not self.repository.loaded(name):
            reason = next((e.message for e in errors.values()), "nothing lies there")
            self._failed(name)
            raise Unavailable(f"model '{name}' is not ready: {self._loader.shown(reason)}", "not_ready")
        self.tally.loads += 1
        weight, load.weight = self._weigh(name), 0
        if self.limit and weight > self.limit and name not in self.pinned:
            await self._retire(name, "too large")
            self._weights.forget(name)  # something else may have grown while it was measured
            if again or any(not p.inline for p in packages):
                raise self._too_large(name, weight)
            await self._load(name, load, again=True)
            return
        self._retries.forgive(name)
        await self._keep_limit()

    async def _make_room(self, name: str, load: _Load, size: int) -> None:
        if self.limit and size > self.limit:
            raise self._too_large(name, size)
        needed = self._overhead.on(self._weights.expected(name, size))
        if self.limit:
            needed = min(needed, self.limit)  # what was learned is a guess: alone it may try
        self._base = self._base or own_memory(os.getpid())
        loop = asyncio.get_running_loop()
        end = loop.time() + ROOM_S
        while True:
            room = Room() if self._fits(needed) else room_for(needed, self.held(), self.limit)
            if room.fits:
                load.weight = needed  # before anything else is decided
                if all(await asyncio.gather(*(self._retire(victim, "memory") for victim in room.out))):
                    return
                load.weight = 0  # one of them had begun to work meanwhile
            if room.hopeless or loop.time() > end:
                self.tally.refused += 1
                what = "models that are pinned take" if room.hopeless else "models at work take"
                raise Overloaded(
                    f"model '{name}' is not loaded: it needs {needed / _MIB:.1f} MiB, and {what} too much of the "
                    f"{self.limit / _MIB:.1f} MiB there are; try again later",
                    "memory",
                    RETRY_AFTER_S,
                )
            await asyncio.sleep(LOOK_S)

    def _fits(self, needed: int) -> bool:
        """A quick look: whether nobody has to go, even if all that is known of came at once."""
        if not self.limit:
            return True
        coming = sum(load.weight for load in self._loads.values())
        return self._overhead.on(sum(self._weight.values())) + coming + needed <= self.limit

    async def _keep_limit(self) -> None:
        if self._fits(0):
            self._full = False
            return
        room = room_for(0, self.held(), self.limit)
        await asyncio.gather(*(self._retire(name, "memory") for name in room.out))
        full = not room.fits and room.hopeless
        if full and not self._full:
            _log.warning("models that are pinned take more than --memory allows: %s", self)
        self._full = full

    async def _retire(self, name: str, why: str) -> bool:
        """Whether it went: not when it has begun to work again."""
        if name in self._leaving:
            return True
        self._leaving.add(name)
        try:
            went = await self._loader.retire(name)
        finally:
            self._leaving.discard(name)
        if went:
            self._freed += self._weight.get(name, 0)
            self._forget(name)
            if self._freed >= max(LEAST_FREED, self.limit // 16) and self._tidying is None:
                self._tidying = asyncio.ensure_future(self._tidy())
                self._tidying.add_done_callback(_look_at)
            self.tally.evicted += why == "memory"
            _log.debug("model '%s' is unloaded: %s", name, why)
        return went

    async def _tidy(self) -> None:
        """Give freed memory back: else the gaps in the heaps come to as much as the models. Then see what is left."""
        self._freed = 0
        try:
            await self._loader.tidy()
        finally:
            self._tidying = None
        inline = [name for name, models in self.repository.resident() if models[0].session.inline]
        grown = own_memory(os.getpid()) - self._base - self._budget.held
        self._overhead.learn(grown, sum(self._weight.get(name, 0) for name in inline))

    def _forget(self, name: str) -> None:
        self._weight.pop(name, None)
        self._patience.pop(name, None)

    def _weigh(self, name: str) -> int:
        """Take a loaded model's weight, and how long it may be idle."""
        models: list[Model] = [s.model for s in self.repository.slots(name) if s.model is not None]
        weight = self._weights.learn(name, _bytes_of(models), sum(m.growth for m in models))
        self._weight[name] = weight
        own = name in self._resolved.models  # it has a table: else it has what all have
        settings = self._resolved.model(name).settings if own else self._resolved.settings
        self._patience[name] = int(settings.unload_after_s * 1e9)
        return weight

    def _failed(self, name: str) -> None:
        self.tally.failed += 1
        pause = self._retries.failed(name, perf_counter_ns())
        _log.error("model '%s' could not be loaded; a request after %.0f s tries again", name, pause / 1e9)

    def _too_large(self, name: str, weight: int) -> Unavailable:
        text = f"it takes {weight / _MIB:.1f} MiB, more than the {self.limit / _MIB:.1f} MiB that {self._whose}"
        for slot in self.repository.slots(name):
            slot.reason = text
        self._failed(name)
        return Unavailable(f"model '{name}' is not ready: {text}", "not_ready")


def _bytes_of(models: list[Model]) -> int:
    return sum(memory_of(m.session) for m in models)


def _give_up(future: asyncio.Future[None], name: str, at_deadline: bool) -> None:
    if future.done():
        return
    if at_deadline:
        future.set_exception(DeadlineExceeded(f"model '{name}': the deadline passed while it was being loaded"))
    else:
        text = f"model '{name}' is still being loaded; try again later"
        future.set_exception(Overloaded(text, "not_ready", RETRY_AFTER_S))


def _look_at(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("memory could not be kept in order", exc_info=error)
