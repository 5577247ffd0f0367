"""Inventory: what models loaded on demand weigh and have done, as /metrics and GET /v2/repository/memory tell it."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any, TypeAlias

from .control import Arguments, Control
from .on_demand import OnDemand
from .telemetry.memory import memory_of
from .telemetry.snapshot import Snapshot, add

Json: TypeAlias = dict[str, Any]


class Inventory:
    """Looks at an OnDemand, and changes nothing. Registers its verb with the control."""

    def __init__(self, on_demand: OnDemand, control: Control) -> None:
        self._on_demand = on_demand
        control.register("memory", self._memory, merge_memory)

    def measure(self, out: Snapshot) -> None:
        """Add what /metrics shows."""
        of = self._on_demand
        tally, repository, loading = of.tally, of.repository, of.loading
        standby = {slot.entry.name for slot in repository.slots() if repository.stands_by(slot)}
        add(out, "gantline_models", sum(1 for _ in repository.resident()), "loaded")
        add(out, "gantline_models", len(standby) - len(loading & standby), "standby")
        add(out, "gantline_models", len(loading), "loading")
        add(out, "gantline_models_bytes", sum(h.weight for h in of.held()))
        add(out, "gantline_models_limit_bytes", of.limit)
        for outcome, count in (("ok", tally.loads), ("failed", tally.failed), ("refused", tally.refused)):
            add(out, "gantline_model_loads", count, outcome)
        add(out, "gantline_model_unloads", tally.evicted, "memory")
        add(out, "gantline_model_unloads", tally.idled, "idle")
        add(out, "gantline_load_wait_seconds", tally.waits.to_json())

    async def _memory(self, arguments: Arguments) -> Json:
        """What is in memory, for a person: the longest unused last."""
        of, now, rows = self._on_demand, perf_counter_ns(), list[Json]()
        found = list(of.held())
        for one in sorted(found, key=lambda h: -h.last):
            models = [s.model for s in of.repository.slots(one.name) if s.model is not None]
            rows.append(
                {
                    "name": one.name,
                    "bytes": one.weight,
                    "file_bytes": sum(memory_of(m.session) for m in models),
                    "growth_bytes": sum(m.growth for m in models),
                    "unused_s": round((now - one.last) / 1e9, 3) if models else None,
                    "state": "loading" if not models else "busy" if one.busy else "idle",
                    "pinned": one.pinned,
                }
            )
        used = sum(h.weight for h in found)
        return {"limit_bytes": of.limit, "bytes": used, "known": len(of.repository.names()), "workers": [rows]}


def merge_memory(answers: list[Json]) -> Json:
    """Each worker has models of its own, under its share of the limit."""
    return answers[0] | {
        "limit_bytes": sum(a["limit_bytes"] for a in answers),
        "bytes": sum(a["bytes"] for a in answers),
        "workers": [rows for a in answers for rows in a["workers"]],
    }
