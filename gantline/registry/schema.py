"""Schema: the steps that make a registry's tables, each of which is what one format added to the one before.

A step is never changed once it was released: an older registry has taken it. A new format is one more step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    for table, actions in _FIXED.items():
        for action in actions:
            name = f"{table}_stay_{action.lower()}"
            body = (
                "FOR EACH ROW EXECUTE FUNCTION gantline_refuse()"
                if connection.dialect.name == "postgresql"
                else f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
            connection.execute(text(f"CREATE TRIGGER {name} BEFORE {action} ON {table} {body}"))


STEPS: tuple[Step, ...] = (_make_first,)


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
