"""Collector: the verb "metrics": one process's snapshot, merged over all workers."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from functools import cache
from importlib.metadata import version as installed

from gantline.accelerators.script.engine import ScriptEngine

import gantline

from ..access import Denials
from ..admission import ByteBudget
from ..control import Arguments, Control
from ..following import Following
from ..inventory import Inventory
from ..model import Model
from ..readiness import Readiness
from ..repository import Repository
from .ledger import OTHER
from .memory import memory_of
from .snapshot import Snapshot, add, merge
from .vitals import Vitals


class Collector:
    """Registers its verb with the control. `connections` is set by the server that has them."""

    def __init__(
        self, repository: Repository, readiness: Readiness, budget: ByteBudget, control: Control, triton_names: bool,
        denials: Denials, inventory: Inventory | None = None, following: Following | None = None,
    ) -> None:  # fmt: skip
        self.budget = budget
        self.denials = denials
        self.inventory = inventory
        self.following = following
        self.repository = repository
        self.readiness = readiness
        self.vitals = Vitals()
        self.triton_names = triton_names
        self.connections: Callable[[], int] = int
        control.register("metrics", self._metrics, merge)

    async def _metrics(self, arguments: Arguments) -> Snapshot:
        """All metrics of this process, as they are now."""
        out = self._own()
        for _ in self.repository.ledger.read(out):
            await asyncio.sleep(0)  # 0.2 ms for each version: requests go between
        return out if self.triton_names else {name: out[name] for name in out if not name.startswith("nv_")}

    def _own(self) -> Snapshot:
        out: Snapshot = {}
        add(out, "gantline_build", 1, gantline.__version__, platform.python_version(), _onnxruntime())
        add(out, "gantline_ready", int(bool(self.readiness)))
        add(out, "gantline_workers", 1)
        add(out, "gantline_connections", self.connections())
        add(out, "gantline_held_bytes", self.budget.held)
        add(out, "gantline_held_limit_bytes", self.budget.limit)
        add(out, "gantline_denied", self.denials.unauthenticated, "unauthenticated")
        add(out, "gantline_denied", self.denials.forbidden, "forbidden")
        for slot in self.repository.slots():
            if self.repository.stands_by(slot):
                continue  # one row tells how many these are
            name, version = slot.entry.name, slot.entry.version
            if (
                self.inventory is not None
                and slot.model is not None
                and not self.repository.ledger.shown(name, version)
            ):
                _measure_model(out, slot.model, *OTHER.values())
                continue
            add(out, "gantline_model_ready", int(slot.model is not None), name, version)
            if slot.model is not None:
                if (digest := slot.model.session.package.digest) is not None:
                    add(out, "gantline_model", 1, name, version, digest)
                _measure_model(out, slot.model, name, version)
        if self.inventory is not None:
            self.inventory.measure(out)
        if self.following is not None:
            self.following.measure(out)
        self.vitals.read(out)
        return out


def _measure_model(out: Snapshot, model: Model, name: str, version: str) -> None:
    queues, running = [model.batcher], model.dispatch.running
    if model.scores is not None:
        queues.append(model.scores.batcher)
        running += model.scores.running
    waiting = sum(len(q) for q in queues)
    add(out, "gantline_queue_requests", waiting, name, version)
    add(out, "gantline_queue_rows", sum(q.waiting_rows for q in queues), name, version)
    add(out, "gantline_queue_limit_rows", sum(q.admission.limit for q in queues), name, version)
    add(out, "gantline_inflight_requests", waiting + running, name, version)
    add(out, "nv_inference_pending_request_count", waiting, name, version)
    add(out, "gantline_model_memory_bytes", memory_of(model.session), name, version)
    add(out, "gantline_model_growth_bytes", model.growth, name, version)
    if isinstance(model.session.program, ScriptEngine):
        add(out, "gantline_host_restarts", model.session.program.crew.restarts, name, version)


@cache
def _onnxruntime() -> str:
    return installed("onnxruntime")
