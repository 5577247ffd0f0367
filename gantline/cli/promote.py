"""`gantline promote`: let an alias point at a version."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..exits import OK
from . import registered
from .show import print_json, write

if TYPE_CHECKING:
    from ..registry.event_log import Event


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline promote`."""
    parser.add_argument("ref", metavar="NAME:VERSION", help="a version; NAME alone is the newest, NAME@ALIAS another's")
    parser.add_argument("alias", metavar="ALIAS", help="such as champion; made if need be")
    registered.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """One step, which is in the log."""
    with registered.opened(args) as registry:
        told(registry.promote(args.ref, args.alias), args.json)
    return OK


def told(event: Event, as_json: bool) -> None:
    """What an alias points at now, and did before."""
    if as_json:
        print_json(event.to_json())
        return
    at = f"{event.name}:{event.became}" if event.became else "nothing"
    was = f"{event.name}:{event.was}" if event.was else "nothing"
    write(f"{event.name}@{event.alias} is {at}, was {was}\n")
