"""Search: versions by what is asked of them, and the one that a reference means; each miss says what there is."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, exists, func, select

from ..errors import NotFound
from . import tables
from .moment import shown
from .reference import Reference
from .version import Stored, Version

_V = tables.versions.c


@dataclass(frozen=True, slots=True)
class Wanted:
    """What versions are asked for, as Azure's Model.list: all that is said must hold.

    `tags` and `properties`: key -> value, None for any. `latest`: only the newest version of each model.
    """

    name: str = ""
    tags: Mapping[str, str | None] = field(default_factory=dict)
    properties: Mapping[str, str | None] = field(default_factory=dict)
    run: str = ""
    framework: str = ""
    latest: bool = False
    digest: str = ""


def find(connection: Connection, wanted: Wanted) -> list[Version]:
    """By name, and the newest first; removed versions are left out."""
    return _find(connection, [_V.removed.is_(None), *_conditions(wanted)])


def of_package(connection: Connection, digest: str) -> list[Version]:
    """Every version that a package ever was, removed ones too."""
    return _find(connection, [_V.package == digest])


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    out: list[ColumnElement[bool]] = []
    out += [_V.name == wanted.name] if wanted.name else []
    out += [_V.run == wanted.run] if wanted.run else []
    out += [_V.package == wanted.digest] if wanted.digest else []
    out += [func.lower(tables.packages.c.framework) == wanted.framework.lower()] if wanted.framework else []
    out += [_has(tables.tags, key, value) for key, value in wanted.tags.items()]
    out += [_has(tables.properties, key, value) for key, value in wanted.properties.items()]
    if wanted.latest:
        other = tables.versions.alias()
        same = and_(other.c.name == _V.name, other.c.removed.is_(None), other.c.version > _V.version)
        out.append(~exists().where(same))
    return out


def _has(table: Table, key: str, value: str | None) -> ColumnElement[bool]:
    t = table.c
    condition = and_(t.name == _V.name, t.version == _V.version, t.key == key)
    return exists().where(condition if value is None else and_(condition, t.value == value))


def _find(connection: Connection, conditions: list[ColumnElement[bool]]) -> list[Version]:
    p = tables.packages
    query = select(tables.versions, p.c.engine, p.c.framework, p.c.size).join(p, p.c.digest == _V.package)
    rows = connection.execute(query.where(*conditions).order_by(_V.name, _V.version.desc())).all()
    names = {row.name for row in rows}
    one = next(iter(names)) if len(names) == 1 else ""
    if not rows:
        return []
    tagged, fixed = _pairs(connection, tables.tags, one), _pairs(connection, tables.properties, one)
    pointing: dict[tuple[str, int], list[str]] = defaultdict(list)
    a = tables.aliases
    for row in connection.execute(select(a).where(*_of(a, one)).order_by(a.c.alias)):
        pointing[row.name, row.version].append(row.alias)
    return [_version(r, pointing, tagged, fixed) for r in rows]


def _version(
    row: Row[tuple[object, ...]],
    pointing: Mapping[tuple[str, int], list[str]],
    tagged: Mapping[tuple[str, int], dict[str, str]],
    fixed: Mapping[tuple[str, int], dict[str, str]],
) -> Version:
    key = (row.name, row.version)
    return Version(
        row.name, row.version, row.package, row.created, row.who, row.engine, row.framework, row.size, row.run,
        row.parent, tuple(pointing.get(key, ())), tagged.get(key, {}), fixed.get(key, {}),
        json.loads(row.lineage), json.loads(row.training), row.removed,
    )  # fmt: skip


def _of(table: Table, name: str) -> list[ColumnElement[bool]]:
    return [table.c.name == name] if name else []


def _pairs(connection: Connection, table: Table, name: str) -> dict[tuple[str, int], dict[str, str]]:
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for row in connection.execute(select(table).where(*_of(table, name)).order_by(table.c.key)):
        found[row.name, row.version][row.key] = row.value
    return found


def one(connection: Connection, reference: Reference, where: str) -> Version:
    """The version that is meant. NotFound says what there is instead."""
    name = reference.name
    there = _find(connection, [_V.name == name])
    if not there:
        raise NotFound(f"registry {where}: no model '{name}'{_nearest(connection, name)}")
    alive = [v for v in there if v.removed is None]
    if reference.version:
        return _numbered(there, alive, reference, where)
    if reference.alias:
        found = next((v for v in there if reference.alias in v.aliases), None)
        if found is None:
            known = sorted({a for v in there for a in v.aliases})
            what = (
                f"it has {', '.join(known)}" if known else f"`gantline promote {there[0].id} {reference.alias}` sets it"
            )
            raise NotFound(f"registry {where}: '{name}' has no alias {reference.alias!r}; {what}")
        return found
    if reference.digest:
        found = next((v for v in alive if v.digest == reference.digest), None)
        if found is None:
            raise NotFound(f"registry {where}: no version of '{name}' is the package {reference.digest}")
        return found
    if not alive:
        raise NotFound(f"registry {where}: every version of '{name}' was removed; register one")
    return alive[0]


def _numbered(there: list[Version], alive: list[Version], reference: Reference, where: str) -> Version:
    found = next((v for v in there if v.version == reference.version), None)
    last = f"; the newest is {alive[0].id}" if alive else ""
    if found is None:
        raise NotFound(f"registry {where}: '{reference.name}' has no version {reference.version}{last}")
    if found.removed is not None:
        raise NotFound(f"registry {where}: {found.id} was removed at {shown(found.removed)}{last}")
    return found


def _nearest(connection: Connection, name: str) -> str:
    names = list(connection.execute(select(_V.name).distinct().where(_V.removed.is_(None))).scalars())
    close = get_close_matches(name, names, 1, 0.5)
    return f"; did you mean '{close[0]}'?" if close else "; `gantline list` shows what there is"


def files_of(connection: Connection, package: str) -> list[Stored]:
    """The files of a package, its manifest among them."""
    f = tables.files.c
    query = select(f.path, f.digest, f.size).where(f.package == package).order_by(f.path)
    return [Stored(r.path, r.digest, r.size) for r in connection.execute(query)]
