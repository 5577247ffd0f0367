"""`gantline models`: what a running server has: the state, memory, requests and last use of each model version."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ..errors import NotFound, Unsupported
from ..exits import OK
from . import remote
from .show import print_json, size, write

if TYPE_CHECKING:
    from ..client import Client

Json: TypeAlias = dict[str, Any]
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
IN_MEMORY = ("ready", "busy", "loading")


class Row(NamedTuple):
    """A model version. `used`: when it ran last, in ms since 1970, 0 for never; `note`: why it is not ready, say.

    `digest`: of its package; empty for a bare file, and for what is not in memory.
    """

    name: str
    version: str
    state: str
    memory: int  # bytes
    requests: int
    failed: int
    used: int
    note: str = ""
    digest: str = ""

    def to_json(self) -> Json:
        """For programs."""
        used = datetime.fromtimestamp(self.used / 1000, UTC).isoformat(timespec="milliseconds") if self.used else None
        return {
            "name": self.name, "version": self.version, "state": self.state, "memory_bytes": self.memory,
            "requests": self.requests, "failed": self.failed, "last_used": used, "note": self.note,
            "digest": self.digest or None,
        }  # fmt: skip

    def cells(self, now: float) -> tuple[str, ...]:
        """For people. `now`: seconds since 1970."""
        memory = size(self.memory) if self.memory else "-"
        used = age(now - self.used / 1000) if self.used else "never"
        counts = str(self.requests), str(self.failed)
        return self.name, self.version, self.state, memory, *counts, used, self.digest[:19], self.note


HEADS = ("NAME", "VERSION", "STATE", "MEMORY", "REQUESTS", "FAILED", "LAST USED", "DIGEST", "")
_NUMBERS = {"MEMORY", "REQUESTS", "FAILED"}  # to the right
SORTS: dict[str, Callable[[Row], Any]] = {
    "name": lambda r: (r.name, r.version),
    "memory": lambda r: -r.memory,
    "requests": lambda r: -r.requests,
    "used": lambda r: -r.used,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline models`."""
    add = parser.add_argument
    add("names", nargs="*", metavar="MODEL", help="these only; * and ? stand for letters, as in 'fraud-*'")
    add("--loaded", action="store_true", help="only what is in memory")
    add("--sort", choices=SORTS, default="name", help="name (default), or by what is most: memory, requests, used")
    add("--json", action="store_true", help="print one JSON object")
    remote.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Ask the server three questions, and print the answers as one table."""
    from ..client import Client

    with Client(args.url, timeout_s=args.timeout, key=remote.key_of(args.key_file)) as client:
        index, statistics = client.index(), client.statistics()["model_stats"]
        memory = _memory(client)
        url = client.url
    rows = rows_of(index, statistics, memory)
    known, loaded = len(rows), sum(r.state in IN_MEMORY for r in rows)
    total = memory["bytes"] if memory else sum(r.memory for r in rows)
    if args.names:
        rows = [r for r in rows if any(fnmatchcase(r.name, pattern) for pattern in args.names)]
        if not rows:
            raise NotFound(f"{url} has no model {' or '.join(map(repr, args.names))}; it has {known} others")
    rows = sorted((r for r in rows if r.state in IN_MEMORY or not args.loaded), key=SORTS[args.sort])
    limit = memory["limit_bytes"] if memory else 0
    if args.json:
        print_json({"models": [r.to_json() for r in rows], "memory_bytes": total, "memory_limit_bytes": limit or None})
        return OK
    _print(rows, time.time())
    write(f"{loaded} of {known} in memory, {size(total)}{f' of {size(limit)}' if limit else ''}\n")
    return OK


def rows_of(index: list[Json], statistics: list[Json], memory: Json | None) -> list[Row]:
    """One row for each entry of V2's index. `memory`: of /v2/repository/memory; None: nothing is loaded on demand."""
    stats = {(s["name"], s["version"]): s for s in statistics}
    held: dict[str, list[Json]] = {}
    for row in (row for worker in (memory or {}).get("workers", ()) for row in worker):
        held.setdefault(row["name"], []).append(row)
    rows: list[Row] = []
    for entry in index:
        name, version, state = entry["name"], entry.get("version", ""), entry.get("state", "")
        one = stats.get((name, version), {})
        counts = one.get("inference_stats", {})
        good, bad = (int(counts.get(key, {}).get("count", 0)) for key in ("success", "fail"))
        bytes_ = sum(int(m["byte_size"]) for m in one.get("memory_usage", ()))
        note, digest = entry.get("reason", "") if state != "READY" else "", entry.get("digest", "")
        word = state.lower() or "not loaded"
        if memory is not None and state == "READY":
            here = held.get(name, [])
            word = _state(here)
            # the weight is the model's: of several versions the first one is told with it
            bytes_ = sum(r["bytes"] for r in here) if all(r.name != name for r in rows[-1:]) else 0
            note = "pinned" if any(r["pinned"] for r in here) else ""
        used = int(one.get("last_inference", 0))
        rows.append(Row(name, version, word, bytes_, good + bad, bad, used, note, digest))
    return rows


def _state(held: Iterable[Json]) -> str:
    states = {row["state"] for row in held}
    return next((word for word in ("busy", "loading") if word in states), "ready" if states else "standby")


def _memory(client: Client) -> Json | None:
    try:
        return client.memory()
    except (NotFound, Unsupported):  # another server, or one that has all in memory all the time
        return None


def age(seconds: float) -> str:
    """How long ago that was, for a person. Two machines' clocks may differ a little."""
    for unit, word in _UNITS:
        if seconds >= unit:
            return f"{int(seconds // unit)} {word} ago"
    return "just now"


def _print(rows: list[Row], now: float) -> None:
    table = [HEADS, *(tuple(map(_plain, row.cells(now))) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        line = "  ".join(
            cell.rjust(width) if head in _NUMBERS else cell.ljust(width)
            for cell, width, head in zip(cells, widths, HEADS, strict=True)
        )
        write(line.rstrip() + "\n")


def _plain(text: str) -> str:
    """A server's text without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)
