"""Garbage: blobs and checkouts that nothing refers to any more, found and removed.

What is kept: all that a version, a recorded deployment, or an image whose name is in the same store refers to; all that
an endpoint of this user runs; what was touched since the oldest of those began who work with the store now; all that
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

from ..oci.descriptor import REF_NAME, Descriptor
from ..oci.hanging import hanging
from ..oci.lease import since
from ..oci.store import Store
from . import checkout, tables
from .blob_store import Blob, BlobStore, LocalBlobs
from .database import Database
from .untagged import Names, forget, untagged

DAY_US = 24 * 3600 * 1_000_000
_GROUP_S = 5.0  # that a group holds up whoever writes
_REFERRERS = re.compile(r"sha256-[0-9a-f]{64}")  # the name of an index of what is about the image of that digest


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be. `size` in bytes; `checkouts`: directories of packages on this machine; `names`:
    of manifests without a tag.
    """

    blobs: tuple[str, ...]
    size: int
    checkouts: tuple[str, ...]
    kept: int
    names: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "blobs": list(self.blobs),
            "bytes": self.size,
            "checkouts": list(self.checkouts),
            "kept": self.kept,
            "untagged": list(self.names),
        }


@dataclass(frozen=True, slots=True)
class Rule:
    """What is collected: what was not touched for `grace` microseconds.

    `untagged`: manifests that were pushed and that no tag leads to any more, too. `keep`: manifests in the store that
    somebody uses who is not in the database.
    """

    grace: int = DAY_US
    dry_run: bool = False
    untagged: bool = False
    keep: tuple[Descriptor, ...] = ()


def collect(database: Database, blobs: BlobStore, now: int, rule: Rule = Rule()) -> Collected:
    """Remove what nothing refers to."""
    before, gone_names = now - rule.grace, Names()
    if isinstance(blobs, LocalBlobs):
        before = min(before, int(since(blobs.store) * 1e6))  # what a build or a push works with now
        if rule.untagged:
            gone_names = _untagged(database, blobs, now, before, rule)
    named = _named(blobs, rule, gone_names if rule.dry_run else {})
    leased = checkout.leased()
    there = list(blobs.blobs())
    with database.reading() as connection:
        live = _live(connection, now, named, leased)
    dead = [b for b in there if b.digest not in live and (b.modified is None or b.modified < before)]
    gone: list[Blob] = []
    if rule.dry_run:
        gone = dead
    else:
        waiting = list(reversed(dead))
        while waiting:
            gone += _remove(database, blobs, waiting, now, before, rule)
        if isinstance(blobs, LocalBlobs):
            _forget_referrers(blobs.store, before)
        blobs.sweep(min(before, now - DAY_US))  # what was begun a moment ago is still being written
    left = _checkouts(database, now, named, rule.dry_run)
    digests = tuple(b.digest for b in gone)
    return Collected(digests, sum(b.size for b in gone), left, len(there) - len(gone), tuple(sorted(gone_names)))


def _untagged(database: Database, blobs: LocalBlobs, now: int, before: int, rule: Rule) -> Names:
    """The names of pushed manifests that go; they are taken, unless this is a rehearsal."""
    i, d = tables.images.c, tables.deployments.c
    with database.reading() as connection:
        used = _packages(connection, now, set())
        for row in connection.execute(select(i.digest, i.id)):
            used |= {row.digest, row.id}
        used |= set(connection.execute(select(d.image)).scalars())
    found = untagged(blobs.store, used - {""}, rule.keep, before)
    if not rule.dry_run:
        forget(blobs.store, found, before)
    return found


def _named(blobs: BlobStore, rule: Rule, gone: Names) -> set[str]:
    """The digests of everything that hangs on what the store's index lists."""
    if not isinstance(blobs, LocalBlobs):
        return set()
    listed = [d for d in blobs.store.listed() if d.annotations.get(REF_NAME) not in gone]
    return hanging(blobs.store, [*listed, *rule.keep])


def _remove(database: Database, blobs: BlobStore, waiting: list[Blob], now: int, before: int, rule: Rule) -> list[Blob]:
    """Some of the last, while nobody can register: names, leases and rows are looked at once more.

    A store far away takes its time for each; others who write wait for so long, and not for all of it.
    """
    done = []
    enough = time.monotonic() + _GROUP_S
    with database.writing() as connection:
        connection.execute(delete(tables.claims).where(tables.claims.c.until <= now))
        connection.execute(delete(tables.presences).where(tables.presences.c.until <= now - DAY_US))
        live = _live(connection, now, _named(blobs, rule, {}), checkout.leased())
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


def _forget_referrers(store: Store, before: int) -> None:
    """Take the names from lists of what is about an image that is gone; the next collection takes what they listed."""
    for name, descriptor in store.names().items():
        subject = name.replace("-", ":", 1)
        if not _REFERRERS.fullmatch(name) or store.path(subject).exists():
            continue
        with suppress(FileNotFoundError):
            if store.path(descriptor.digest).stat().st_mtime_ns // 1000 < before:
                store.unname(name)
