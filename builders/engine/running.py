"""Running: what `gantline.run` gives: one endpoint, to be asked, looked at and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

from gantline.client import Client, Result
from gantline.errors import Denied, GantlineError, Unavailable
from gantline.oci.platforms import Platform

from . import start
from .key_folder import KeyFolder
from .place import Change, Forwarding, Status, place_of
from .record import Record, Records
from .subject import Subject

_FORCE_S, _LOOK_S = 10.0, 0.1


class Running:
    """An endpoint; as a context manager it ends with the block. Else it runs until `stop`, also after this program."""

    def __init__(
        self, record: Record, bring: Callable[[str, Platform], Subject],
        note: Callable[[Record, bool], None] = lambda record, runs: None,
    ) -> None:  # fmt: skip
        """`note` tells a registry whether what is on record runs."""
        self.record = record
        self._bring = bring
        self._note = note
        self._noted = False

    def __repr__(self) -> str:
        return f"Running({self.name!r}, {self.url!r})"

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def model(self) -> str:
        return self.record.model

    @property
    def url(self) -> str:
        """Where it answers HTTP."""
        return self.record.url

    @property
    def grpc(self) -> str:
        """HOST:PORT for gRPC."""
        return self.record.grpc

    @property
    def key(self) -> str | None:
        """The key that it asks for, where it was made with it."""
        return key_of(self.record)

    @property
    def status(self) -> Status:
        """As it is now."""
        place = place_of(self.record)
        try:
            return place.status(self.record)
        finally:
            place.close()

    def client(self, **options: Any) -> Client:
        """A client of it, with its key; options as for `Client`."""
        return Client(self.url, **{"key": self.key, **options})

    def infer(self, inputs: Any, outputs: list[str] | None = None) -> Result:
        """Ask its model, as `Client.infer` does."""
        with self.client() as client:
            return client.infer(self.model, inputs, outputs)

    def score(self, body: Any) -> Any:
        """Ask its scoring script, as `Client.score` does."""
        with self.client() as client:
            return client.score(body)

    def logs(self, tail: int | None = None) -> str:
        """What it has logged; the last lines of it, or all."""
        place = place_of(self.record)
        try:
            return b"".join(place.logs(self.record, tail, False)).decode("utf-8", "replace")
        finally:
            place.close()

    def changed(self) -> bool:
        """Whether somebody has put another in its place meanwhile; then this is that one."""
        found = Records.of_user().find(self.name)
        if found is None or found == self.record or not found.same(self.record):
            return False
        self.record = found
        return True

    def update(self, ref: str = "", variables: Mapping[str, str | None] | None = None, wait_s: float = 60.0) -> None:
        """Put another image, or other variables, in its place; after an error the one from before serves still."""
        self.record = start.update(self.name, Change(ref, self._bring, variables or {}, wait_s))
        if self._noted:
            self.note()

    def note(self) -> None:
        """Have the registry know what it runs, until it is stopped."""
        self._noted = True
        self._note(self.record, True)

    def stop(self) -> None:
        """Let it finish what it has accepted, and remove it; nothing where that is done already."""
        if self.record.same(Records.of_user().find(self.name)):
            start.delete(self.record)
            if self._noted:
                self._note(self.record, False)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def key_of(record: Record, kind: str = "primary") -> str | None:
    """The secret of an endpoint whose keys were made with it; None for others."""
    return KeyFolder(Records.of_user().folder(record.name)).secret(kind) if record.keys == "own" else None


def answering(record: Record) -> Record:
    """Where it answers now. Unavailable for one that does not."""
    place = place_of(record)
    try:
        status = place.status(record)
    finally:
        place.close()
    if not status.url:
        why = f" ({status.why})" if status.why else ""
        raise Unavailable(f"endpoint {record.name}: {status.state}{why}; see `gantline endpoint logs {record.name}`")
    return replace(record, url=status.url, grpc=status.grpc)


@contextmanager
def reached(record: Record) -> Iterator[Record]:
    """Where it answers while the block lasts: through a port that is forwarded, where it has no address of its own."""
    place = place_of(record)
    try:
        if not isinstance(place, Forwarding) or place.status(record).url:
            yield answering(record)
            return
        with place.forwarded(record) as url:
            yield replace(record, url=url)
    finally:
        place.close()


def in_force(record: Record, secret: str) -> bool:
    """Whether its server takes a key that was made just now; it reads its keys again within a second or two."""
    end = time.monotonic() + _FORCE_S
    with suppress(GantlineError), Client(answering(record).url, key=secret) as client:
        while time.monotonic() < end:
            with suppress(Denied):
                client.metadata(record.model)
                return True
            time.sleep(_LOOK_S)
    return False
