"""Schema: the steps that make a registry's tables, each of which is what one format added to the one before.

A step is never changed once it was released: an older registry has taken it. A new format is one more step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from sqlalchemy import Connection, inspect, select, text, update

from ..errors import BadArtefact, NotFound, Unsupported
from . import tables

Step: TypeAlias = Callable[[Connection], None]

_FIRST = (
    "CREATE TABLE registry (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL,"
    " blobs TEXT NOT NULL, created BIGINT NOT NULL)",
    "CREATE TABLE packages (digest TEXT NOT NULL PRIMARY KEY, engine TEXT NOT NULL, framework TEXT NOT NULL,"
    " size BIGINT NOT NULL)",
    "CREATE TABLE files (package TEXT NOT NULL REFERENCES packages (digest), path TEXT NOT NULL,"
    " digest TEXT NOT NULL, size BIGINT NOT NULL, PRIMARY KEY (package, path))",
    "CREATE INDEX files_by_digest ON files (digest)",
    "CREATE TABLE versions (name TEXT NOT NULL, version INTEGER NOT NULL, package TEXT NOT NULL REFERENCES packages"
    " (digest), created BIGINT NOT NULL, who TEXT NOT NULL, run TEXT NOT NULL, training TEXT NOT NULL,"
    " lineage TEXT NOT NULL, parent TEXT NOT NULL, removed BIGINT, PRIMARY KEY (name, version))",
    "CREATE INDEX versions_by_package ON versions (package)",
    "CREATE TABLE tags (name TEXT NOT NULL, version INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (name, version, key), FOREIGN KEY (name, version) REFERENCES versions (name, version))",
    "CREATE TABLE properties (name TEXT NOT NULL, version INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (name, version, key), FOREIGN KEY (name, version) REFERENCES versions (name, version))",
    "CREATE TABLE aliases (name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,"
    " PRIMARY KEY (name, alias), FOREIGN KEY (name, version) REFERENCES versions (name, version))",
    "CREATE TABLE images (digest TEXT NOT NULL, package TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,"
    " platform TEXT NOT NULL, lock TEXT NOT NULL, created BIGINT NOT NULL, PRIMARY KEY (digest, package))",
    "CREATE TABLE deployments (name TEXT NOT NULL, package TEXT NOT NULL, image TEXT NOT NULL, target TEXT NOT NULL,"
    " created BIGINT NOT NULL, PRIMARY KEY (name, package))",
    "CREATE TABLE claims (owner TEXT NOT NULL, digest TEXT NOT NULL, until BIGINT NOT NULL,"
    " PRIMARY KEY (owner, digest))",
    "CREATE TABLE events (id BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,"
    " name TEXT NOT NULL, version INTEGER, alias TEXT NOT NULL, was TEXT NOT NULL, became TEXT NOT NULL)",
    "CREATE INDEX events_by_name ON events (name, alias)",
)
# the log is appended to and nothing else, whoever connects; what is fixed at registration stays
_FIXED = {"events": ("UPDATE", "DELETE"), "properties": ("UPDATE", "DELETE"), "files": ("UPDATE",)}
# SQLite's INSERT OR REPLACE deletes without a trigger for it, so a row of a key that is there is not taken
_THERE = {
    "events": "(SELECT id, at FROM events ORDER BY id DESC LIMIT 1) WHERE id >= NEW.id OR at >= NEW.at",  # nor earlier
    "properties": "properties WHERE name = NEW.name AND version = NEW.version AND key = NEW.key",
    "files": "files WHERE package = NEW.package AND path = NEW.path",
}


def _make_first(connection: Connection) -> None:
    for statement in _FIRST:
        connection.execute(text(statement))
    if connection.dialect.name == "postgresql":
        connection.execute(
            text(
                "CREATE FUNCTION gantline_refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
            )
        )
    for statement in _triggers(connection.dialect.name == "postgresql"):
        connection.execute(text(statement))


def _triggers(postgresql: bool) -> Iterator[str]:
    for table, actions in _FIXED.items():
        refuse = "EXECUTE FUNCTION gantline_refuse()"
        if not postgresql:
            refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for action in actions:
            each = "FOR EACH ROW " if postgresql else ""
            yield f"CREATE TRIGGER {table}_stay_{action.lower()} BEFORE {action} ON {table} {each}{refuse}"
        if postgresql:
            yield f"CREATE TRIGGER {table}_stay_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}"
        else:
            when = f"WHEN EXISTS (SELECT 1 FROM {_THERE[table]})"
            yield f"CREATE TRIGGER {table}_stay_replace BEFORE INSERT ON {table} {when} {refuse}"


def _add_presences(connection: Connection) -> None:
    connection.execute(
        text(
            "CREATE TABLE presences (server TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,"
            " package TEXT NOT NULL, who TEXT NOT NULL, process TEXT NOT NULL, since BIGINT NOT NULL,"
            " until BIGINT NOT NULL, PRIMARY KEY (server, name, version))"
        )
    )


STEPS: tuple[Step, ...] = (_make_first, _add_presences)


def format_of(connection: Connection) -> int:
    """Which format a registry has; 0 where there is none."""
    if not inspect(connection).has_table("registry"):
        return 0
    return int(connection.execute(select(tables.registry.c.format)).scalar_one_or_none() or 0)


def check(connection: Connection, where: str, ours: int) -> None:
    """NotFound: there is no registry; BadArtefact: it is a newer Gantline's; Unsupported: an older one's."""
    found = format_of(connection)
    if not found:
        raise NotFound(f"registry {where}: there is none yet; `gantline register` or `gantline registry init` makes it")
    if found > ours:
        raise BadArtefact(f"registry {where}: has format {found}; this Gantline reads up to {ours}: use a newer one")
    if found < ours:
        raise Unsupported(
            f"registry {where}: has format {found}, this Gantline {ours}; type: gantline registry migrate"
        )


def make(connection: Connection, blobs: str, now: int, steps: Sequence[Step]) -> None:
    """An empty registry."""
    _take(connection, steps)
    row = {"one": 1, "format": len(steps), "blobs": blobs, "created": now}
    connection.execute(tables.registry.insert().values(row))


def migrate(connection: Connection, where: str, steps: Sequence[Step]) -> tuple[int, int]:
    """Take the steps that a registry has not taken; its format before and after."""
    found = format_of(connection)
    if not 0 < found <= len(steps):
        check(connection, where, len(steps))
    _take(connection, steps[found:])
    connection.execute(update(tables.registry).values(format=len(steps)))
    return found, len(steps)


def _take(connection: Connection, steps: Sequence[Step]) -> None:
    for step in steps:
        step(connection)
