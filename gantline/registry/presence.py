"""Presence: what a running server tells its registry: which versions it serves, said again and again until it ends.

Locks of files say on one machine who uses a checkout (`checkout`); this says it to whoever shares the registry. A
server that was killed is believed until its last word runs out. One whose registry is away, or may only be read, serves
all the same.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, delete, insert

from ..errors import GantlineError, NotFound
from . import tables
from .checkout import let_go
from .database import clock
from .reference import Reference
from .registry import Registry
from .search import one
from .version import Version

BEAT_S = 60.0  # between two times that it is said
HOLDS_US = 5 * 60 * 1_000_000  # that it is believed
PATIENCE_S = 10.0  # for others who write: a server does not start later because of them
FAREWELL_S = 3.0  # for the registry to hear that the server ends
_log = logging.getLogger("gantline.registry")


@dataclass(slots=True)
class _Serving:
    version: Version
    since: int
    users: int = 1  # REFs, and swaps that are under way


class Presence:
    """Of this process, in one registry. A context manager: at the end of its block nothing is served any more."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._id = uuid.uuid4().hex
        self._serving: dict[tuple[str, int], _Serving] = {}
        self._turn = Lock()  # one telling at a time, of all that is served then
        self._ending = Event()
        self._beating: Thread | None = None
        self._unheard = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def take(self, ref: str) -> tuple[Version, Path]:
        """The version that a REF means now, and its directory: brought here, in use, and said to be served."""
        version = self.registry.get(ref)
        path = self.registry.path(Reference(version.name, version.version))
        try:
            self.enter(version)
        except BaseException:
            let_go(version.digest)
            raise
        return version, path

    def enter(self, version: Version) -> None:
        """Say that this process serves a version, or is about to. NotFound for one that was removed meanwhile."""
        key = (version.name, version.version)
        with self._turn:
            known = self._serving.get(key)
            if known is not None:
                known.users += 1
                return
            self._serving[key] = _Serving(version, 0)
            try:
                self._tell([Reference(*key)])
            except BaseException:
                del self._serving[key]
                raise
            if self._beating is None:
                self._beating = Thread(target=self._beat, daemon=True, name="presence")
                self._beating.start()

    def leave(self, name: str, version: int) -> None:
        """Take back one `enter`."""
        with self._turn:
            known = self._serving[name, version]
            known.users -= 1
            if not known.users:
                del self._serving[name, version]
                self._tell()

    def close(self) -> None:
        """Say that nothing is served any more, if the registry hears it in time."""
        self._ending.set()
        if self._beating is not None:
            self._beating.join(FAREWELL_S)
        self.registry.close()

    def _beat(self) -> None:
        while not self._ending.wait(BEAT_S / 10 if self._unheard else BEAT_S):
            with self._turn:
                self._tell()
        with self._turn:
            self._serving.clear()
            self._tell()

    def _tell(self, new: Iterable[Reference] = ()) -> None:
        """Have the registry know all that is served here. NotFound where a new one is not there any more."""
        try:
            with self.registry.database.writing(PATIENCE_S) as connection:
                for reference in new:
                    one(connection, reference, str(self.registry.place))
                self._write(connection, clock(connection))
        except NotFound:
            raise
        except GantlineError as e:
            if not self._unheard:
                _log.warning("%s; nobody is told what is served here, so it may be removed: it is tried again", e)
            self._unheard = True
        else:
            self._unheard = False

    def _write(self, connection: Connection, now: int) -> None:
        p = tables.presences
        connection.execute(delete(p).where(p.c.server == self._id))
        rows = []
        for serving in self._serving.values():
            serving.since = serving.since or now
            rows.append(
                {
                    "server": self._id, "name": serving.version.name, "version": serving.version.version,
                    "package": serving.version.digest, "who": self.registry.who, "process": f"process {os.getpid()}",
                    "since": serving.since, "until": now + HOLDS_US,
                }
            )  # fmt: skip
        if rows:
            connection.execute(insert(p), rows)
