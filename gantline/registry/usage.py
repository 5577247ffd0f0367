"""Usage: who uses a version: servers, by what they said last, and deployments, by what was recorded of them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from ..errors import UsageError
from . import tables
from .moment import shown
from .version import Version


@dataclass(frozen=True, slots=True)
class Served:
    """A version that a server says it serves. Times in microseconds of UTC."""

    name: str
    version: int
    who: str
    process: str
    since: int
    until: int

    def __str__(self) -> str:
        return f"{self.who} ({self.process}), since {shown(self.since)[:19]}Z"


def served(connection: Connection, package: str, now: int) -> list[Served]:
    """The servers of a package, as far as they have said so lately: those that serve it longest come first."""
    p = tables.presences.c
    query = select(tables.presences).where(p.package == package, p.until > now).order_by(p.since, p.server)
    rows = connection.execute(query)
    return [Served(r.name, r.version, r.who, r.process, r.since, r.until) for r in rows]


def check_unused(connection: Connection, version: Version, now: int) -> None:
    """UsageError for a version that serves somewhere, or whose package is deployed and is no other version's."""
    there = [
        s for s in served(connection, version.digest, now) if (s.name, s.version) == (version.name, version.version)
    ]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise UsageError(
            f"{version.id} is served by {there[0]}{more}; stop it, or promote another (one that was killed is believed "
            f"until {shown(max(s.until for s in there))[:19]}Z)"
        )
    v, d = tables.versions.c, tables.deployments.c
    others = (v.package == version.digest) & v.removed.is_(None)
    if len(connection.execute(select(v.version).where(others)).all()) > 1:
        return
    row = connection.execute(select(d.name, d.target).where(d.package == version.digest).order_by(d.created)).first()
    if row is not None:
        raise UsageError(
            f"{version.id} is deployed as {row.name} on {row.target}; deploy another version there, or end it; what is "
            f"gone without a word is forgotten by: gantline registry retire {row.name}"
        )
