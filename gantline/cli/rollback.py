"""`gantline rollback`: let an alias point at what it pointed at before."""

from __future__ import annotations

import argparse

from ..exits import OK
from . import registered
from .promote import told


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline rollback`."""
    parser.add_argument("ref", metavar="NAME@ALIAS", help="the alias")
    parser.add_argument(
        "--to", required=True, metavar="TIME|VERSION",
        help='a version that it pointed at, or a time at which it did: ISO 8601 (UTC unless it says), or "2 hours ago"',
    )  # fmt: skip
    registered.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """One step, which is in the log as all others are."""
    name, alias = registered.alias_of(args.ref, "rollback")
    with registered.opened(args) as registry:
        told(registry.rollback(name, alias, args.to), args.json)
    return OK
