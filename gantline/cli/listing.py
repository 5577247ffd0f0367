"""`gantline list`: the versions in the registry, filtered as Azure's Model.list does."""

from __future__ import annotations

import argparse

from ..exits import OK
from . import registered
from .show import columns, print_json, size


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline list`."""
    add = parser.add_argument
    add("--name", default="", help="of this model only")
    add("--tag", action="append", default=[], metavar="K[=V]", help="with this tag, of any value or this; repeatable")
    add("--property", action="append", default=[], metavar="K[=V]", help="with this property; repeatable")
    add("--run", default="", metavar="ID", help="trained by this run")
    add("--framework", default="", metavar="F", help="made with it: sklearn, torch, onnx, ...")
    add("--dataset", default="", metavar="D", help="trained on it: its name or digest, as the run or the package says")
    add("--latest", action="store_true", help="only the newest version of each model")
    registered.arguments(parser)
    add("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print them by name, newest first; all that is said must hold."""
    from ..registry.moment import shown

    with registered.opened(args) as registry:
        found = registry.list(
            args.name,
            tags=registered.wanted(args.tag),
            properties=registered.wanted(args.property),
            run=args.run,
            framework=args.framework,
            latest=args.latest,
            dataset=args.dataset,
        )
    if args.json:
        print_json([v.to_json() for v in found])
        return OK
    rows = [
        (
            v.id, ", ".join(v.aliases), v.framework or v.engine, size(v.size), shown(v.registered)[:19] + "Z",
            v.digest[:19], " ".join(f"{k}={x}" for k, x in v.tags.items()),
        )
        for v in found
    ]  # fmt: skip
    columns(("VERSION", "ALIASES", "FRAMEWORK", "SIZE", "REGISTERED", "DIGEST", "TAGS"), rows)
    return OK
