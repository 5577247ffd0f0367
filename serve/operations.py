"""Operations: the repository's verbs, once for every face: index, load, unload, statistics."""

from __future__ import annotations

import asyncio
from typing import Any

from gantline.errors import BadArtefact, BadRequest, GantlineError, NotFound, Unavailable

from .control import Arguments, Control, Undo
from .loader import Loader
from .model import Model
from .on_demand import OnDemand
from .repository import READY, Repository
from .standby import TEXT, Standby
from .statistics import merge_statistics
from .telemetry.memory import memory_of

_AT_ONCE = 32  # models told of in one turn of the loop


class Operations:
    """Registers its verbs with the control; arguments and answers are JSON, in the words of V2's extensions."""

    def __init__(
        self, repository: Repository, loader: Loader, control: Control, model_control: str = "full",
        on_demand: OnDemand | None = None,
    ) -> None:  # fmt: skip
        self.repository = repository
        self.model_control = model_control
        self.loader = loader
        self.on_demand = on_demand
        control.register("index", self._index, merge_index)
        control.register("load", self._load, subject=_model, back=self._unloaded)
        control.register("unload", self._unload, subject=_model)
        control.register("statistics", self._statistics, merge_statistics)

    async def _index(self, arguments: Arguments) -> list[dict[str, Any]]:
        """ready: only the models that are; a model without a version that was ever loaded has its name only."""
        rows = []
        for slot in self.repository.slots():
            standby = self.repository.stands_by(slot)
            if arguments["ready"] and slot.model is None and not standby:
                continue
            row = {"name": slot.entry.name}
            if standby:  # whoever asks which models take requests must not have to load them all
                row |= {"version": slot.entry.version, "state": READY, "reason": TEXT}
            elif slot.model is not None or slot.reason:
                row |= {"version": slot.entry.version, "state": slot.state, "reason": slot.reason}
                if slot.model is not None and slot.model.session.package.digest:
                    row["digest"] = slot.model.session.package.digest
            rows.append(row)
        return rows

    async def _load(self, arguments: Arguments) -> None:
        """name, config (as JSON, or empty), files (path in the model -> base64; may be missing).

        NotFound, Unavailable where this is not allowed, or "failed to load ...": BadRequest for what came with the
        request, BadArtefact for what lies on the disk.
        """
        self._allow()
        name = arguments["name"]
        if not name:  # of gRPC, where a field that is not set is empty
            raise NotFound("failed to load '', it is not in the repository")
        files = {path.removeprefix("file:"): text for path, text in (arguments.get("files") or {}).items()}
        try:
            await self.loader.reload(name, arguments["config"], files)
        except (NotFound, BadRequest):
            raise
        except GantlineError as e:
            brought = isinstance(e, BadArtefact) and arguments["config"]  # files come with a configuration only
            raise (BadRequest if brought else BadArtefact)(f"failed to load '{name}', {e.message}") from e
        if self.on_demand is not None:
            self.on_demand.came(name)

    def _unloaded(self, arguments: Arguments) -> Undo | None:
        """How to undo a load: only what was not loaded before; the files of what was may be others by now."""
        name = arguments["name"]
        if any(slot.model is not None for slot in self.repository.slots(name)):
            return None
        return Undo("unload", {"name": name})

    async def _unload(self, arguments: Arguments) -> None:
        """name. NotFound for a model that is not in the repository, Unavailable where this is not allowed."""
        self._allow()
        name = arguments["name"]
        if not any(self.repository.slots(name)):
            raise NotFound(f"failed to unload '{name}', it is not in the repository")
        if self.on_demand is not None:
            self.on_demand.dismiss(name)
        await self.loader.unload(name)

    async def _statistics(self, arguments: Arguments) -> list[dict[str, Any]]:
        """name and version, either of them may be empty: the entries of "model_stats".

        Of all models: those that are loaded, and with --load on-demand those that have been.
        """
        name, version = arguments["name"], arguments["version"]
        models: list[Model] = [s.model for s in self.repository.slots() if s.model]
        if name:
            try:
                wanted = self.repository.find(name, version)
            except Standby:
                return self._remembered(name, version)
            models = [m for m in models if m.name == name and (not version or m is wanted)]
        found = [m.statistics.to_json(m.name, m.version, _memory(m)) for m in models]
        return found if name else [*found, *await self._standing_by({(m.name, m.version) for m in models})]

    async def _standing_by(self, told: set[tuple[str, str]]) -> list[dict[str, Any]]:
        """Of models that the next request loads, what those have done that have done anything. `told`: not again."""
        found = []
        for slot in list(self.repository.slots()) if self.on_demand is not None else []:
            name, version = slot.entry.name, slot.entry.version
            if (name, version) in told or not self.repository.stands_by(slot):
                continue
            if (known := self.repository.ledger.kept(name, version)) is not None:
                found.append(known.to_json(name, version))
                if len(found) % _AT_ONCE == 0:
                    await asyncio.sleep(0)  # there may be a thousand, and requests go between
        return found

    def _remembered(self, name: str, version: str) -> list[dict[str, Any]]:
        """The statistics of a model that is not loaded now."""
        versions = [s.entry.version for s in self.repository.slots(name) if version in ("", s.entry.version)]
        return [self.repository.ledger.known(name, v).to_json(name, v) for v in versions]

    def _allow(self) -> None:
        if self.model_control in ("none", "poll"):  # Triton's words for both
            raise Unavailable("explicit model load / unload is not allowed if polling is enabled")


def _memory(model: Model) -> list[dict[str, Any]]:
    size = memory_of(model.session)
    return [{"type": "CPU", "id": 0, "byte_size": size}] if size else []


def _model(arguments: Arguments) -> str:
    return f"model:{arguments['name']}"


def merge_index(answers: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A model version is ready when it is so in every worker; one that not all workers know is not there."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    seen: dict[tuple[str, str], int] = {}
    for rows in answers:
        for row in rows:
            key = (row["name"], row.get("version", ""))
            seen[key] = seen.get(key, 0) + 1
            if key not in merged or merged[key].get("state") == READY:
                merged[key] = row
    return [row for key, row in merged.items() if seen[key] == len(answers)]
