"""Garbage: blobs and checkouts that nothing refers to any more, found and removed.

What is kept: all that a version, a recorded deployment, or an image whose name is in the same store refers to; all that
a process on this machine has checked out, or that a server anywhere has said in the last day that it serves; all that
somebody is registering just now; and what is younger than a grace, since images and pulls write their blobs before
anything refers to them. Blobs go in small groups, each in a transaction
that looks again: who registers meanwhile finds a blob gone and writes it, or has claimed it before and it stays.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, or_, select

from ..errors import GantlineError
from ..oci.descriptor import INDEXES, MANIFESTS, Descriptor
from ..oci.store import Store
from . import checkout, tables
from .blob_store import Blob, BlobStore, LocalBlobs
from .database import Database

DAY_US = 24 * 3600 * 1_000_000
_GROUP_S = 5.0  # that a group holds up whoever writes
_REFERRERS = re.compile(r"sha256-[0-9a-f]{64}")  # the name of an index of what is about the image of that digest


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be. `size` in bytes; `checkouts`: directories of packages on this machine."""

    blobs: tuple[str, ...]
    size: int
    checkouts: tuple[str, ...]
    kept: int

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {"blobs": list(self.blobs), "bytes": self.size, "checkouts": list(self.checkouts), "kept": self.kept}


def collect(database: Database, blobs: BlobStore, now: int, grace: int = DAY_US, dry_run: bool = False) -> Collected:
    """Remove what nothing refers to and was not touched for `grace` microseconds."""
    before = now - grace
    named = _named(blobs.store) if isinstance(blobs, LocalBlobs) else set()
    leased = checkout.leased()
    there = list(blobs.blobs())
    with database.reading() as connection:
        live = _live(connection, now, named, leased)
    dead = [b for b in there if b.digest not in live and (b.modified is None or b.modified < before)]
    gone: list[Blob] = []
    if dry_run:
        gone = dead
    else:
        waiting = list(reversed(dead))
        while waiting:
            gone += _remove(database, blobs, waiting, now, before)
        if isinstance(blobs, LocalBlobs):
            _forget_referrers(blobs.store, before)
        blobs.sweep(min(before, now - DAY_US))  # what was begun a moment ago is still being written
    left = _checkouts(database, now, named, dry_run)
    return Collected(tuple(b.digest for b in gone), sum(b.size for b in gone), left, len(there) - len(gone))


def _remove(database: Database, blobs: BlobStore, waiting: list[Blob], now: int, before: int) -> list[Blob]:
    """Some of the last, while nobody can register: names, leases and rows are looked at once more.

    A store far away takes its time for each; others who write wait for so long, and not for all of it.
    """
    done = []
    enough = time.monotonic() + _GROUP_S
    with database.writing() as connection:
        connection.execute(delete(tables.claims).where(tables.claims.c.until <= now))
        connection.execute(delete(tables.presences).where(tables.presences.c.until <= now - DAY_US))
        named = _named(blobs.store) if isinstance(blobs, LocalBlobs) else set()
        live = _live(connection, now, named, checkout.leased())
        while waiting:
            blob = waiting.pop()
            if blob.digest not in live and blobs.remove(blob.digest, before):
                done.append(blob)
            if time.monotonic() > enough:
                break
    return done


def _checkouts(database: Database, now: int, named: set[str], dry_run: bool) -> tuple[str, ...]:
    with database.reading() as connection:
        live = _packages(connection, now, named)
    idle = [d for d in checkout.checked_out() if d not in live]
    if dry_run:
        leased = checkout.leased()
        return tuple(d for d in idle if d not in leased)
    return tuple(d for d in idle if checkout.remove(d))


def _live(connection: Connection, now: int, named: set[str], leased: set[str]) -> set[str]:
    """The digests of all blobs that are referred to."""
    f, c = tables.files.c, tables.claims.c
    live = set(named)
    packages = _packages(connection, now, named) | leased
    for row in connection.execute(select(f.package, f.digest)):
        if row.package in packages:
            live.add(row.digest)
    live |= set(connection.execute(select(c.digest).where(c.until > now)).scalars())
    return live


def _packages(connection: Connection, now: int, named: set[str]) -> set[str]:
    """The packages of versions, of deployments, of servers, and of images that are in the store."""
    v, i, d, p = tables.versions.c, tables.images.c, tables.deployments.c, tables.presences.c
    found = set(connection.execute(select(v.package).where(v.removed.is_(None))).scalars())
    found |= set(connection.execute(select(d.package)).scalars())
    # a day beyond its last word: a server that the registry could not hear for so long serves still
    found |= set(connection.execute(select(p.package).where(p.until > now - DAY_US)).scalars())
    query = select(i.package, i.digest, i.id).where(or_(i.digest != "", i.id != ""))
    found |= {row.package for row in connection.execute(query) if row.digest in named or row.id in named}
    return found


def _named(store: Store) -> set[str]:
    """The digests of everything that hangs on what the store's index lists."""
    found: set[str] = set()
    waiting = store.listed()
    while waiting:
        descriptor = waiting.pop()
        if descriptor.digest not in found:
            found.add(descriptor.digest)
            waiting += _below(store, descriptor)
    return found


def _forget_referrers(store: Store, before: int) -> None:
    """Take the names from lists of what is about an image that is gone; the next collection takes what they listed."""
    for name, descriptor in store.names().items():
        subject = name.replace("-", ":", 1)
        if not _REFERRERS.fullmatch(name) or store.path(subject).exists():
            continue
        with suppress(FileNotFoundError):
            if store.path(descriptor.digest).stat().st_mtime_ns // 1000 < before:
                store.unname(name)


def _below(store: Store, descriptor: Descriptor) -> list[Descriptor]:
    if descriptor.media_type not in (*INDEXES, *MANIFESTS):
        return []
    try:
        tree = store.read_json(descriptor)
    except GantlineError:
        return []  # an image of which a part is missing: the rest is as it was
    where = str(store.path(descriptor.digest))
    # not its subject: a signature does not keep the image that it is of
    listed = [tree.get("config"), *_each(tree.get("layers")), *_each(tree.get("manifests"))]
    found = []
    for one in listed:
        with suppress(GantlineError):
            found.append(Descriptor.from_json(one, where))
    return found


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
