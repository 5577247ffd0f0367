"""`gantline trace`: from the digest in an answer to run, data, commit, lock and image."""

from __future__ import annotations

import argparse

from ..exits import OK
from . import registered
from .show import print_json, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline trace`."""
    parser.add_argument(
        "digest", metavar="DIGEST",
        help="of a package or an artifact, of one of its files, of an image (or its ID), a layer or a lock; "
        "8 digits of it do, or a REF",
    )  # fmt: skip
    registered.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the chain; a link that is not known says how it would have come there."""
    with registered.opened(args) as registry:
        found = registry.trace(args.digest)
    if args.json:
        print_json(found.to_json())
        return OK
    what, _, of = found.found_as.partition(" of ")  # a layer's image: all of it would push the values off a screen
    rows = [(what, found.digest), *([("of", of)] if of else ())]
    if found.digest != found.package:
        rows.append(("package", found.package))
    for link in found.links:
        rows += [(link.what, value) for value in link.values] or [(link.what, f"missing: {link.hint}")]
    table(rows)
    return OK
