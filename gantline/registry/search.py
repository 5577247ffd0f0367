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

    `tags` and `properties`: key -> value, None for any. `latest`: only the newest version of each model. `dataset`: a
    name or a digest, as the run or the package says it.
    """

    name: str = ""
    tags: Mapping[str, str | None] = field(default_factory=dict)
    properties: Mapping[str, str | None] = field(default_factory=dict)
    run: str = ""
    framework: str = ""
    latest: bool = False
    digest: str = ""
    dataset: str = ""


def find(connection: Connection, wanted: Wanted) -> list[Version]:
    """By name, and the newest first; removed versions are left out."""
    found = _find(connection, [_V.removed.is_(None), *_conditions(wanted)])
    return [v for v in found if wanted.dataset in _data_of(v)] if wanted.dataset else found


def _data_of(version: Version) -> set[str]:
    """What data it was trained on is called: by name, by digest; a package's own is text that its maker wrote."""
    named = {str(d.get(key, "")) for d in version.training.get("datasets", ()) for key in ("name", "digest")}
    own = str(version.lineage.get("dataset", ""))
    return named | {own} | {part.partition(" ")[0] for part in own.split(", ")}


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


def _find(connection: Connection, conditions: list[ColumnElement[bool]], most: int | None = None) -> list[Version]:
    p = tables.packages
    query = select(tables.versions, p.c.engine, p.c.framework, p.c.size).join(p, p.c.digest == _V.package)
    rows = connection.execute(query.where(*conditions).order_by(_V.name, _V.version.desc()).limit(most)).all()
    if not rows:
        return []
    names = {row.name for row in rows}
    one = (rows[0].name if len(names) == 1 else "", rows[0].version if len(rows) == 1 else 0)
    tagged, fixed = _pairs(connection, tables.tags, *one), _pairs(connection, tables.properties, *one)
    pointing: dict[tuple[str, int], list[str]] = defaultdict(list)
    a = tables.aliases
    for row in connection.execute(select(a).where(*_of(a, *one)).order_by(a.c.alias)):
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


def _of(table: Table, name: str, version: int) -> list[ColumnElement[bool]]:
    """Rows of one version, of one model (0), or all (an empty name)."""
    return [*([table.c.name == name] if name else ()), *([table.c.version == version] if version else ())]


def _pairs(connection: Connection, table: Table, name: str, version: int) -> dict[tuple[str, int], dict[str, str]]:
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for row in connection.execute(select(table).where(*_of(table, name, version)).order_by(table.c.key)):
        found[row.name, row.version][row.key] = row.value
    return found


def one(connection: Connection, reference: Reference, where: str) -> Version:
    """The version that is meant. NotFound says what there is instead."""
    conditions = [_V.name == reference.name, _V.removed.is_(None)]
    a = tables.aliases.c
    if reference.version:
        conditions.append(_V.version == reference.version)
    elif reference.alias:
        this = and_(a.name == reference.name, a.alias == reference.alias)
        conditions.append(_V.version == select(a.version).where(this).scalar_subquery())
    elif reference.digest:
        conditions.append(_V.package == reference.digest)
    found = _find(connection, conditions, 1)
    if not found:
        raise NotFound(f"registry {where}: {_missing(connection, reference)}")
    return found[0]


def _missing(connection: Connection, reference: Reference) -> str:
    """Why there is no such version, and what there is."""
    name = reference.name
    there = _find(connection, [_V.name == name])
    if not there:
        return f"no model '{name}'{_nearest(connection, name)}"
    alive = [v for v in there if v.removed is None]
    last = f"; the newest is {alive[0].id}" if alive else ""
    if reference.version:
        gone = next((v for v in there if v.version == reference.version), None)
        if gone is None or gone.removed is None:
            return f"'{name}' has no version {reference.version}{last}"
        return f"{gone.id} was removed at {shown(gone.removed)}{last}"
    if reference.alias:
        known = ", ".join(sorted({alias for v in there for alias in v.aliases}))
        what = f"it has {known}" if known else f"`gantline promote {there[0].id} {reference.alias}` sets it"
        return f"'{name}' has no alias {reference.alias!r}; {what}"
    if reference.digest:
        return f"no version of '{name}' is the package {reference.digest}"
    return f"every version of '{name}' was removed; register one"


def _nearest(connection: Connection, name: str) -> str:
    names = list(connection.execute(select(_V.name).distinct().where(_V.removed.is_(None))).scalars())
    close = get_close_matches(name, names, 1, 0.5)
    return f"; did you mean '{close[0]}'?" if close else "; `gantline list` shows what there is"


def files_of(connection: Connection, package: str) -> list[Stored]:
    """The files of a package, its manifest among them."""
    f = tables.files.c
    query = select(f.path, f.digest, f.size).where(f.package == package).order_by(f.path)
    return [Stored(r.path, r.digest, r.size) for r in connection.execute(query)]
