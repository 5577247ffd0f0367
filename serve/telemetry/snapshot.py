"""Snapshot: all metrics of one process as JSON, and how several become one: exactly, and in any order."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, TypeAlias

from .families import FAMILIES, Family

# family name -> rows of label values and a value: an int, or {"counts": [...], "sum": n} for a histogram
Snapshot: TypeAlias = dict[str, list[list[Any]]]


def add(snapshot: Snapshot, name: str, value: Any, *labels: str) -> None:
    """One more row of a family in the table."""
    assert len(labels) == len(FAMILIES[name].labels), name
    snapshot.setdefault(name, []).append([list(labels), value])


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """What one process would say that had done all of it. Rows with the same labels become one, in order of labels."""
    found: dict[str, dict[tuple[str, ...], Any]] = {}
    for snapshot in snapshots:
        for name, rows in snapshot.items():
            family, values = FAMILIES[name], found.setdefault(name, {})
            for labels, value in rows:
                key = tuple(labels)
                values[key] = _both(family, values[key], value) if key in values else value
    return {
        name: [[list(key), value] for key, value in sorted(found[name].items())] for name in FAMILIES if name in found
    }


def relabelled(snapshot: Snapshot, **labels: str) -> Snapshot:
    """The same numbers under other names, such as model="other"; rows that become alike are merged."""
    changed: Snapshot = {}
    for name, rows in snapshot.items():
        keys = FAMILIES[name].labels
        changed[name] = [[[labels.get(k, v) for k, v in zip(keys, row, strict=True)], value] for row, value in rows]
    return merge([changed])


def add_histograms(values: list[dict[str, Any]]) -> dict[str, Any]:
    """Several histograms of the same bounds as one."""
    counts = [sum(column) for column in zip_longest(*(v["counts"] for v in values), fillvalue=0)]
    return {"counts": counts, "sum": sum(v["sum"] for v in values)}


def _both(family: Family, a: Any, b: Any) -> Any:
    if family.kind == "histogram":
        return add_histograms([a, b])
    return a if family.kind == "info" else family.merge(a, b)
