"""Place: where an endpoint runs, and what can be done with it there; one class for each kind, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from gantline.errors import BadArtefact
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from gantline.oci.wiring import Wiring

from .record import Record
from .subject import Subject, once_more

# kind -> module:class, imported when asked for
PLACES: dict[str, str] = {
    "engine": "gantline.builders.engine.container_place:ContainerPlace",
    "process": "gantline.builders.engine.process_place:ProcessPlace",
    "compose": "gantline.builders.deploy.compose_place:ComposePlace",
    "kubernetes": "gantline.builders.deploy.cluster_place:ClusterPlace",
    "kserve": "gantline.builders.deploy.cluster_place:ClusterPlace",
}


@dataclass(frozen=True, slots=True)
class Status:
    """`state`: running, starting, exited, gone (nothing is left of it), unreachable, or the place's own word.

    `why` says in a line what is wrong, where something is; `url` and `grpc` are empty for one that does not run; `code`
    is the exit status of one that has ended, where that is known.
    """

    state: str
    url: str = ""
    grpc: str = ""
    why: str = ""
    code: int | None = None


def _unheard(line: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Change:
    """`ref` empty: the image that it has. `variables`: set, or with None taken out; all others stay.

    `bring`: from a REF and a platform to the image, in this user's store. `say` is told what is done.
    """

    ref: str
    bring: Callable[[str, Platform], Subject]
    variables: Mapping[str, str | None] = field(default_factory=dict)
    wait_s: float = 60.0
    say: Callable[[str], None] = _unheard
    wiring: Wiring | None = None  # for a place that takes its images from a registry itself

    def subject(self, record: Record, platform: Platform) -> Subject:
        """The image that is wanted; without a name the very one that runs (`details` has its manifest)."""
        if self.ref:
            return self.bring(self.ref, platform)
        return once_more(record.details.get("manifest"), record.deployments[0].image, Store.of_user())

    def applied(self, before: Mapping[str, str]) -> dict[str, str]:
        """The variables after it."""
        changed = {**before, **self.variables}
        return {name: value for name, value in changed.items() if value is not None}


class Place(Protocol):
    """What a place cannot do is Unsupported, in one line with the command that can."""

    def status(self, record: Record) -> Status:
        """As it is now; what is gone or does not answer is a state, not an error."""
        ...

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        """What it has logged: the last lines or all, and on request what comes until it ends."""
        ...

    def update(self, record: Record, change: Change) -> Record:
        """Put another in its place; what is to be kept of it. After an error the one from before serves still."""
        ...

    def keys(self, record: Record) -> Path:
        """The folder with the `keys.toml` that its server reads."""
        ...

    def delete(self, record: Record) -> None:
        """End it, with time to finish what it accepted; nothing where it is gone already."""
        ...

    def close(self) -> None:
        """Leave the place."""
        ...


@runtime_checkable
class Forwarding(Protocol):
    """A place whose endpoints have addresses of its own."""

    def forwarded(self, record: Record) -> AbstractContextManager[str]:
        """The URL at which this machine reaches one, while the block lasts. Unavailable."""
        ...


@runtime_checkable
class Rotating(Protocol):
    """A place that keeps the keys of its endpoints itself."""

    def rotate(self, record: Record, anew: Callable[[str], tuple[str, str]]) -> tuple[str, bool]:
        """Change its keys file by `anew`: from its text to the next one and the new secret.

        That secret, and whether all that serve take it by now; what was not changed is taken all the while.
        """
        ...


def place_of(record: Record) -> Place:
    """Where it runs. BadArtefact for a kind that this version does not know; Unreachable, Denied."""
    named = PLACES.get(record.place)
    if named is None:
        raise BadArtefact(f"endpoint {record.name}: runs in a place of the kind {record.place!r:.40}, unknown here")
    module, _, kind = named.partition(":")
    made: Place = getattr(import_module(module), kind)(record.where)
    return made
