"""`gantline history`: what was done to a model, or what an alias pointed at, and when."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..exits import OK
from . import registered
from .show import columns, print_json, write

if TYPE_CHECKING:
    from ..registry.event_log import Event
    from ..registry.registry import Registry


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline history`."""
    parser.add_argument(
        "ref",
        metavar="NAME[:VERSION|@ALIAS]",
        help="a model or a version: its log; an alias: what it pointed at, and when",
    )
    parser.add_argument(
        "--at", default="", metavar="TIME", help='what the alias pointed at then: ISO 8601, or "2 hours ago"'
    )  # fmt: skip
    registered.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print it, oldest first."""
    with registered.opened(args) as registry:
        if "@" in args.ref:
            name, alias = registered.alias_of(args.ref, "history")
            _at(registry, name, alias, args) if args.at else _periods(registry, name, alias, args.json)
        elif args.at:
            raise UsageError("history: --at is for an alias: NAME@ALIAS")
        else:
            from ..registry.reference import Reference

            reference = Reference.parse(args.ref)
            events = registry.history(reference.name)
            _log([e for e in events if reference.version in (0, e.version)], args.json)
    return OK


def _at(registry: Registry, name: str, alias: str, args: argparse.Namespace) -> None:
    version = registry.alias_at(name, alias, args.at)
    if args.json:
        print_json({"name": name, "alias": alias, "version": version})
    else:
        write(f"{name}:{version}\n" if version else f"{name}@{alias} pointed at nothing then\n")


def _periods(registry: Registry, name: str, alias: str, as_json: bool) -> None:
    from ..registry.moment import shown

    found = registry.periods(name, alias)
    if as_json:
        print_json([p.to_json() for p in found])
        return
    rows = [
        (
            f"{name}:{p.version}" if p.version else "nothing",
            shown(p.since),
            "now" if p.until is None else shown(p.until),
            p.who,
        )
        for p in found
    ]
    columns(("VERSION", "SINCE", "UNTIL", "BY"), rows)


def _log(events: list[Event], as_json: bool) -> None:
    from ..registry.moment import shown

    if as_json:
        print_json([e.to_json() for e in events])
        return
    columns(("WHEN", "WHO", "WHAT", "VERSION", "CHANGE"), [(shown(e.at), e.who, *_change(e)) for e in events])


def _change(event: Event) -> tuple[str, str, str]:
    what = f"{event.action} {event.alias}".strip()
    version = f"{event.name}:{event.version}" if event.version else ""
    if event.alias:
        return what, version, f"{event.was or 'nothing'} -> {event.became or 'nothing'}"
    if event.action == "register":
        return what, version, str(event.became["digest"])[:19]  # as `list` has it
    if event.action in _MADE:
        return what, version, _MADE[event.action](event.became or event.was)
    if event.action == "tag":
        return what, version, f"{_labels(event.was)} -> {_labels(event.became)}"
    return what, version, _labels(event.became or event.was)


# the digests whole are in --json; a line with all of them is as wide as four screens
_MADE: dict[str, Callable[[dict[str, Any]], str]] = {
    "image": lambda of: " ".join(part for part in (of["name"], of["platform"], of["digest"][:19]) if part),
    "deployment": lambda of: f"{of['name']} on {of['target']}",
    "retire": lambda of: f"{of['name']} on {of['target']}",
    "remove": lambda of: str(of["digest"])[:19],
}


def _labels(values: Any) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted((values or {}).items()) if v) or "none"
