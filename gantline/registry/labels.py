"""Labels: tags, which change, and properties, which stay: text by key."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert

from ..errors import UsageError
from . import event_log, tables
from .version import Version

_KEY = re.compile(r"[^\s=\x00-\x1f][^=\x00-\x1f]{0,255}")
_LONGEST = 4096
MOST = 100  # of either kind, for one version


def check_labels(labels: Mapping[str, str], kind: str) -> dict[str, str]:
    """The labels as text, or UsageError."""
    if len(labels) > MOST:
        raise UsageError(f"{len(labels)} of kind {kind}; a version has at most {MOST}")
    out = {}
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            raise UsageError(f"{kind} {key!r:.80}: a key has 1 to 256 characters, none of them '='")
        if len(str(value)) > _LONGEST or "\x00" in str(value):
            raise UsageError(f"{kind} {key!r:.80}: a value has at most {_LONGEST} characters")
        out[key] = str(value)
    return out


def put_tags(
    connection: Connection, version: Version, tags: Mapping[str, str | None], now: int, who: str
) -> dict[str, str]:
    """Set tags, or take them away (None), and log what changed, if anything did; all tags after it."""
    after = {k: v for k, v in {**version.tags, **tags}.items() if v is not None}
    if after == version.tags:
        return after
    check_labels(after, "tag")
    t = tables.tags.c
    mine = (t.name == version.name) & (t.version == version.version)
    connection.execute(delete(tables.tags).where(mine))
    _insert(connection, version.name, version.version, after)
    event_log.append(connection, now, who, "tag", version.name, version.version, was=version.tags, became=after)
    return after


def _insert(connection: Connection, name: str, version: int, tags: Mapping[str, str]) -> None:
    rows = [{"name": name, "version": version, "key": k, "value": v} for k, v in tags.items()]
    if rows:
        connection.execute(insert(tables.tags), rows)
