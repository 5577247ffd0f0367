"""Event log: who did what to which version or alias, when, and what it was before; read back, it tells any moment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from ..blobs import canonical_json
from . import tables
from .moment import shown

# what is done to an alias
PROMOTE, ROLLBACK, RELEASE = "promote", "rollback", "release"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log. `at` in microseconds of UTC, later than all before; `was` and `became` None for nothing."""

    id: int
    at: int
    who: str
    action: str
    name: str
    version: int | None
    alias: str
    was: Any
    became: Any

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "id": self.id, "at": shown(self.at), "who": self.who, "action": self.action, "name": self.name,
            "version": self.version, "alias": self.alias, "was": self.was, "became": self.became,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which an alias pointed at one version (None: at nothing). `until` None: still."""

    version: int | None
    since: int
    until: int | None
    who: str

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        until = None if self.until is None else shown(self.until)
        return {"version": self.version, "since": shown(self.since), "until": until, "who": self.who}


def append(
    connection: Connection, now: int, who: str, action: str, name: str,
    version: int | None = None, alias: str = "", was: Any = None, became: Any = None,
) -> Event:  # fmt: skip
    """Add a line, in a transaction that nobody else writes beside. A clock that went back does not take it along."""
    e = tables.events.c
    last = connection.execute(select(func.max(e.id), func.max(e.at))).one()
    at = max(now, (last[1] or 0) + 1)
    event = Event((last[0] or 0) + 1, at, who, action, name, version, alias, was, became)
    row = {
        "id": event.id, "at": at, "who": who, "action": action, "name": name, "version": version, "alias": alias,
        "was": _text(was), "became": _text(became),
    }  # fmt: skip
    connection.execute(tables.events.insert().values(row))
    return event


def point(
    connection: Connection, now: int, who: str, action: str, name: str, alias: str, version: int | None
) -> Event:  # fmt: skip
    """Let an alias point at a version (None: take it away), with its line.

    One that points there gets no new line, but its last one back, in which it was what it is.
    """
    a = tables.aliases
    this = (a.c.name == name) & (a.c.alias == alias)
    was = connection.execute(select(a.c.version).where(this)).scalar()
    if was == version:
        return replace(read(connection, name, alias)[-1], was=was)
    connection.execute(delete(a).where(this))
    if version is not None:
        connection.execute(insert(a).values(name=name, alias=alias, version=version))
    return append(connection, now, who, action, name, version, alias, was, version)


def read(connection: Connection, name: str, alias: str = "") -> list[Event]:
    """A model's lines in their order, or one alias's."""
    e = tables.events.c
    query = select(tables.events).where(e.name == name).order_by(e.id)
    if alias:
        query = query.where(e.alias == alias)
    return [
        Event(r.id, r.at, r.who, r.action, r.name, r.version, r.alias, _value(r.was), _value(r.became))
        for r in connection.execute(query)
    ]


def moved(connection: Connection, since: int | None) -> tuple[int, frozenset[tuple[str, str]]]:
    """The id of the last line, and the (name, alias) of all aliases that were moved after line `since` (None: none).

    Reads no more than was written since. A log that ends before `since` is another one: all of it is new.
    """
    e = tables.events.c
    end = int(connection.execute(select(func.max(e.id))).scalar() or 0)
    if since is None or end == since:
        return end, frozenset()
    new = select(e.name, e.alias).where(e.id > (since if end > since else 0), e.alias != "").distinct()
    return end, frozenset((r.name, r.alias) for r in connection.execute(new))


def periods(events: Iterable[Event]) -> list[Period]:
    """What one alias pointed at, from its lines, oldest first."""
    found: list[Period] = []
    for event in events:
        if found:
            last = found[-1]
            found[-1] = Period(last.version, last.since, event.at, last.who)
        found.append(Period(event.became, event.at, None, event.who))
    return found


def pointed_at(times: Iterable[Period], moment: int) -> int | None:
    """The version at a moment; None before the alias was, or while it pointed at nothing."""
    return next((p.version for p in times if p.since <= moment and (p.until is None or moment < p.until)), None)


def _text(value: Any) -> str:
    return "" if value is None else canonical_json(value).decode()


def _value(text: str) -> Any:
    return json.loads(text) if text else None
