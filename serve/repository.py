"""Repository: the models that this server knows, loaded or not, and the table from path to loaded model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gantline.errors import GantlineError, NotFound, Unavailable

from . import paths
from .entry import Entry
from .model import Model
from .route_table import Paths, RouteTable
from .standby import Standby, Waker
from .telemetry.ledger import Ledger

READY, UNAVAILABLE, LOADING, UNLOADING = "READY", "UNAVAILABLE", "LOADING", "UNLOADING"
_log = logging.getLogger("gantline.repository")


@dataclass(slots=True)
class Slot:
    """One model version that is known: where it lies, what state it is in, and the loaded model when it is ready."""

    entry: Entry
    state: str = UNAVAILABLE
    reason: str = ""
    model: Model | None = None


class Repository:
    """Name and version to model. Changed on the event loop only; lookups never see a model half loaded."""

    def __init__(self, entries: list[Entry], default: str = "") -> None:
        self._slots: dict[str, dict[str, Slot]] = {}
        self.default = default
        self._tables = [RouteTable(paths.v2)]
        self.routes = self._tables[0].models  # of V2's infer
        self.ready = False  # every model that was to be loaded has been tried
        self.waker: Waker | None = None  # loads models when requests for them come; None: nobody does
        self._loaded: dict[str, Model | None] = {}  # names with loaded versions, and the one that answers by default
        self.listeners: list[Callable[[], None]] = []  # called after routes have changed
        self._gathering = False
        self.ledger = Ledger(self.serves)  # what each version has done
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> Slot:
        """Make a model version known; one that serves is left as it is, until `swap` puts another in its place."""
        versions = self._slots.setdefault(entry.name, {})
        slot = versions.get(entry.version)
        if slot is None:
            slot = versions[entry.version] = Slot(entry, reason=entry.problem or "")
        elif slot.model is None:
            slot.entry = entry
        return slot

    def forget(self, name: str) -> None:
        """A model that is unloaded and no longer there."""
        assert not self.versions(name), name
        self._slots.pop(name, None)

    def restock(self, name: str, entries: Sequence[Entry]) -> None:
        """Other versions lie there now, of a model of which none is loaded."""
        assert not self.versions(name), name
        self._slots[name] = {}
        for entry in entries:
            self.add(entry)

    def slots(self, name: str | None = None) -> Iterator[Slot]:
        """Known versions, of one model or of all, in order of name and version."""
        for key in sorted(self._slots) if name is None else [name] if name in self._slots else []:
            yield from (s for _, s in sorted(self._slots[key].items(), key=lambda kv: int(kv[0])))

    def serves(self, name: str, version: str) -> bool:
        """Whether a version is loaded."""
        slot = self._slots.get(name, {}).get(version)
        return slot is not None and slot.model is not None

    def names(self) -> list[str]:
        return sorted(self._slots)

    def serving(self) -> Iterator[Model]:
        """Of each model that is loaded, what answers requests that ask for no version. Costs what is loaded only."""
        yield from (m for m in self._loaded.values() if m is not None)

    def loaded(self, name: str) -> bool:
        """Whether any version of a model is."""
        return name in self._loaded

    def resident(self) -> Iterator[tuple[str, list[Model]]]:
        """Each model that has loaded versions, and these."""
        for name in self._loaded:
            yield name, [s.model for s in self._slots[name].values() if s.model is not None]

    def stands_by(self, slot: Slot) -> bool:
        """Whether a version takes requests though it is not loaded, since the first one has it loaded."""
        return self.waker is not None and slot.model is None and slot.entry.package is not None and not slot.reason

    def answering(self, name: str) -> str:
        """The version of a known model that requests without one mean, loaded or not."""
        return _candidates(self._slots[name])[0].entry.version

    def awaits(self, name: str) -> bool:
        """Whether a model is not loaded, takes requests, and did not fail when it was last loaded."""
        return any(self.stands_by(slot) for slot in self.slots(name))

    def swap(self, name: str, loaded: Sequence[tuple[Entry, Model]], whole: bool = True) -> list[Model]:
        """Put versions in place for all requests to come, at once; the models that they replace, to be drained.

        `whole`: they are all that is to serve under the name; versions that are not among them go.
        """
        # a model of another name would be replaced, and closed, without its paths leading elsewhere
        if strangers := sorted({e.name for e, _ in loaded} - {name}):
            raise ValueError(f"{', '.join(strangers)}: cannot be put in place as '{name}'")
        versions = self._slots.setdefault(name, {})
        chosen = {e.version for e, _ in loaded}
        gone = [v for v in versions if v not in chosen] if whole else []
        replaced = [versions.pop(v).model for v in gone]
        for entry, model in loaded:
            slot = self.add(entry)
            replaced.append(slot.model)
            slot.entry, slot.model, slot.state, slot.reason = entry, model, READY, ""
        went = [m for m in replaced if m is not None]
        self._reroute(name, bool(went))
        return went

    def withdraw(self, name: str, reason: str) -> list[Model]:
        """Take every version out of service; those that served, to be drained."""
        found = []
        for slot in self.slots(name):
            if slot.model is not None:
                found.append(slot.model)
                slot.model, slot.state, slot.reason = None, UNLOADING, reason
        self._reroute(name, bool(found))
        return found

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """For many that come: listeners, each of whom may look at all models, hear of them at the end, once.

        Of models that go they hear at once.
        """
        self._gathering = True
        try:
            yield
        finally:
            self._gathering = False
            self._tell()

    def find(self, name: str, version: str = "") -> Model:
        """The loaded model: the version asked for, else the pinned or highest one. NotFound or Unavailable.

        Standby for one that is loaded when it is waited for.
        """
        versions = self._slots.get(name)
        if versions is None:
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        if version:
            slot = versions.get(version)
            if slot is None:
                raise NotFound(f"Request for unknown model: '{name}' version {version} is not found")
            slots = [slot]
        else:
            slots = _candidates(versions)
        for slot in slots:
            if slot.model is not None:
                return slot.model
        if self.waker is not None and name not in self._loaded and self.waker.wakes(name):
            raise Standby(name, self.waker)
        loading = any(s.state == LOADING for s in slots)
        reason = "it is being loaded" if loading else next((s.reason for s in slots if s.reason), "it was not loaded")
        raise Unavailable(f"model '{name}' is not ready: {reason}", "not_ready")

    def versions(self, name: str) -> list[str]:
        """The loaded versions of a model."""
        return [s.entry.version for s in self.slots(name) if s.model is not None]

    def default_name(self) -> str:
        """The model that `/` and `/score` mean: the one named by --default, or the only one; else empty."""
        return self.default or (next(iter(self._slots)) if len(self._slots) == 1 else "")

    def default_model(self) -> Model | None:
        """The loaded model of that name, if it is."""
        name = self.default_name()
        try:
            return self.find(name) if name else None
        except GantlineError:
            return None

    def route(self, of: Paths) -> dict[bytes, Model]:
        """Another face's raw paths, each with the loaded model that it means, kept true from now on."""
        table = RouteTable(of)
        for name in self._slots:
            table.put(name, self._served(name))
        self._tables.append(table)
        return table.models

    def _served(self, name: str) -> dict[str, Model]:
        """The loaded versions of a model, and as "" the one that answers where none is asked for."""
        served = {s.entry.version: s.model for s in self.slots(name) if s.model is not None}
        best = next((s.model for s in _candidates(self._slots.get(name, {})) if s.model is not None), None)
        if best is not None:
            served[""] = best
        return served

    def _reroute(self, name: str, went: bool) -> None:
        served = self._served(name)
        if served:
            self._loaded[name] = served.get("")
        else:
            self._loaded.pop(name, None)
        for table in self._tables:
            table.put(name, served)
        if went or not self._gathering:
            self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()


def _candidates(versions: dict[str, Slot]) -> list[Slot]:
    """Which slots may answer where no version is asked for, best first: the pinned one alone, else the highest."""
    pinned = [s for s in versions.values() if s.entry.pinned]
    return pinned or sorted(versions.values(), key=lambda s: int(s.entry.version), reverse=True)
