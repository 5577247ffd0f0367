"""Exposition: a snapshot as text that Prometheus reads, in its own format 0.0.4 or in OpenMetrics 1.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .families import FAMILIES, Family
from .snapshot import Snapshot

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiate(accept: str) -> str:
    """The content type to answer with: OpenMetrics for who would rather have it, as Prometheus says it does."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        kind, *parameters = (p.strip() for p in part.lower().split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(parameters))
    return OPEN_METRICS if weights["application/openmetrics-text"] > weights["text/plain"] else TEXT


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def expose(snapshot: Snapshot, content_type: str) -> bytes:
    """All families that have rows, in the table's order."""
    is_open = content_type == OPEN_METRICS
    lines: list[str] = []
    for name, family in FAMILIES.items():
        rows = snapshot.get(name)
        if rows:
            lines.extend(_head(family, is_open))
            for labels, value in rows:
                lines.extend(_samples(family, _pairs(family.labels, labels), value))
    if is_open:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _head(family: Family, is_open: bool) -> Iterator[str]:
    # without OpenMetrics a family is called what its lines are; with it, a counter's lines must end in _total
    name = family.name if is_open or family.kind == "histogram" else family.samples[0]
    kind: str = family.kind
    if is_open and family.bare and kind == "counter":
        kind = "unknown"
    elif kind == "info" and not is_open:
        kind = "gauge"
    yield f"# HELP {name} {_escape(family.help) if is_open else _escape_help(family.help)}"
    yield f"# TYPE {name} {kind}"
    if is_open and family.unit:
        yield f"# UNIT {name} {family.unit}"


def _samples(family: Family, pairs: list[str], value: Any) -> Iterator[str]:
    if family.kind != "histogram":
        yield f"{family.samples[0]}{_braces(pairs)} {_number(value, family.per)}"
        return
    shown, cumulated = set(family.shown), 0
    counts: list[int] = value["counts"]
    for i, bound in enumerate(family.bounds):
        cumulated += counts[i] if i < len(counts) else 0
        if bound in shown:
            yield _bucket(family, pairs, repr(float(_number(bound, family.per))), cumulated)
    total = sum(counts)
    yield _bucket(family, pairs, "+Inf", total)
    yield f"{family.name}_sum{_braces(pairs)} {_number(value['sum'], family.per)}"
    yield f"{family.name}_count{_braces(pairs)} {total}"


def _bucket(family: Family, pairs: list[str], bound: str, count: int) -> str:
    braces = _braces([*pairs, f'le="{bound}"'])
    return f"{family.name}_bucket{braces} {count}"


def _pairs(names: tuple[str, ...], values: list[str]) -> list[str]:
    return [f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)]


def _braces(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escape(text: str) -> str:
    return _escape_help(text).replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: int, per: int) -> str:
    """A whole number as it is; of a smaller unit, with all the digits that it has."""
    return str(value) if per == 1 else repr(value / per)
