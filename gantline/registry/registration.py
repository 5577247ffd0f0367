"""Registration: from a package on disk to a version: its blobs first, then, in one transaction, what refers to them.

While blobs are written they are claimed, so that garbage collection leaves them; the claims of a process that was
killed run out, and what it wrote is collected.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from ..blobs import canonical_json
from ..errors import GantlineError, Unavailable, UsageError
from ..packages import MANIFEST, Package
from . import event_log, tables
from .blob_store import BlobStore
from .database import Database, clock
from .event_log import PROMOTE
from .labels import put_tags
from .reference import Reference
from .search import Wanted, find, one
from .version import Stored, Version

_TRIES = 3
_CLAIM_US = 24 * 3600 * 1_000_000  # longer than any upload takes


@dataclass(slots=True)
class Registration:
    """A package, and what is to be kept with its version."""

    package: Package
    alias: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    run: str = ""
    parent: str = ""
    asked: bool = False  # whether the run was, or is what the package says
    new_version: bool = False
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        assert self.package.digest is not None
        return self.package.digest

    def files(self) -> list[Stored]:
        """All that is to be stored; a manifest's blob has the package's own digest."""
        manifest = self.package.manifest
        own = Stored(MANIFEST, self.digest, len(manifest.to_bytes()))
        return [own, *(Stored(f.path, f.digest, f.size) for f in manifest.files)]


def register(database: Database, blobs: BlobStore, wanted: Registration, who: str) -> Version:
    """Store and enter it; the version, with `created` false where it was there before."""
    owner = uuid.uuid4().hex
    files = wanted.files()
    with database.writing() as connection:
        # one who may not register is told before anything is sent
        _check_fixed(_same(connection, wanted), wanted)
        _claim(connection, owner, files)
    try:
        for _ in range(_TRIES):
            for file in files:
                blobs.put(file.digest, file.size, wanted.package.path / file.path)
            with database.writing() as connection:
                if not _claimed(connection, owner, files):
                    _let_go(connection, owner)
                    _claim(connection, owner, files)
                    continue  # a clock that jumped, or a day: what was sent may have been collected
                version = _enter(connection, wanted, files, who, str(database.place))
                _let_go(connection, owner)
                return version
        raise Unavailable(f"registry {database.place}: claims run out as they are made; is its clock right? try again")
    except BaseException:
        # what could not be written may be why a claim cannot be taken back either; it runs out
        with suppress(GantlineError), database.writing() as connection:
            _let_go(connection, owner)
        raise


def _claim(connection: Connection, owner: str, files: list[Stored]) -> None:
    until = clock(connection) + _CLAIM_US
    digests = sorted({f.digest for f in files})
    connection.execute(insert(tables.claims), [{"owner": owner, "digest": d, "until": until} for d in digests])


def _claimed(connection: Connection, owner: str, files: list[Stored]) -> bool:
    """Whether no collection has taken a claim: it forgets those that have run out as it begins to remove."""
    c = tables.claims.c
    found = connection.execute(select(func.count()).select_from(tables.claims).where(c.owner == owner)).scalar_one()
    return int(found) == len({f.digest for f in files})


def _let_go(connection: Connection, owner: str) -> None:
    connection.execute(delete(tables.claims).where(tables.claims.c.owner == owner))


def _same(connection: Connection, wanted: Registration) -> Version | None:
    """The version that this package has already."""
    if wanted.new_version:
        return None
    found = find(connection, Wanted(name=wanted.package.name, digest=wanted.digest))
    return found[0] if found else None


def _check_fixed(there: Version | None, wanted: Registration) -> None:
    """UsageError for what a version got when it was registered, and does not change."""
    if there is None:
        return
    kept = ", ".join(f"{k}={v}" for k, v in there.properties.items())
    for said, what, has in (
        (wanted.properties if wanted.properties != there.properties else {}, "properties", kept),
        (wanted.asked and wanted.run != there.run, "run", there.run),
        (wanted.parent and wanted.parent != there.parent, "parent", there.parent),
    ):
        if said:
            raise UsageError(
                f"{there.id} is this package, and its {what} cannot change ({has or 'none'}); "
                "--new-version registers it anew"
            )


def _enter(connection: Connection, wanted: Registration, files: list[Stored], who: str, where: str) -> Version:
    there = _same(connection, wanted)
    _check_fixed(there, wanted)
    name = wanted.package.name
    version = there.version if there is not None else _insert(connection, wanted, files, who)
    before = one(connection, Reference(name, version), where)
    if there is not None and wanted.tags:
        put_tags(connection, before, wanted.tags, clock(connection), who)
    if wanted.alias:
        event_log.point(connection, clock(connection), who, PROMOTE, name, wanted.alias, version)
    found = one(connection, Reference(name, version), where)
    return replace(found, created=there is None)


def _insert(connection: Connection, wanted: Registration, files: list[Stored], who: str) -> int:
    manifest, name, digest = wanted.package.manifest, wanted.package.name, wanted.digest
    p, v = tables.packages, tables.versions
    if connection.execute(select(p.c.digest).where(p.c.digest == digest)).first() is None:
        framework = manifest.source.framework if manifest.source else ""
        size = sum(f.size for f in files)
        row = {"digest": digest, "engine": manifest.engine, "framework": framework, "size": size}
        connection.execute(insert(p).values(row))
        rows = [{"package": digest, "path": f.path, "digest": f.digest, "size": f.size} for f in files]
        connection.execute(insert(tables.files), rows)
    last = connection.execute(select(func.max(v.c.version)).where(v.c.name == name)).scalar()
    version, created = int(last or 0) + 1, clock(connection)
    became = {
        "digest": digest, "run": wanted.run, "parent": wanted.parent, "tags": wanted.tags,
        "properties": wanted.properties,
    }  # fmt: skip
    event = event_log.append(connection, created, who, "register", name, version, became=became)
    row_of = {
        "name": name, "version": version, "package": digest, "created": event.at, "who": who, "run": wanted.run,
        "training": canonical_json(wanted.training).decode(), "parent": wanted.parent, "removed": None,
        "lineage": canonical_json(wanted.package.lineage()).decode(),
    }  # fmt: skip
    connection.execute(insert(v).values(row_of))
    for table, labels in ((tables.tags, wanted.tags), (tables.properties, wanted.properties)):
        if labels:
            connection.execute(
                insert(table), [{"name": name, "version": version, "key": k, "value": x} for k, x in labels.items()]
            )
    return version
