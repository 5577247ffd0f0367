"""`gantline explain`: what put a file into an image, or which rule left it out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..exits import OK
from . import transfer
from .show import print_json, table

if TYPE_CHECKING:
    from ..oci.platforms import Platform


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline explain`."""
    add = parser.add_argument
    add("ref", metavar="REF", help=REF)
    add("path", metavar="PATH", help="a file or directory in it: /opt/gantline/lib/gantline/core.py, say")
    platform_argument(parser)
    transfer.connection(parser)
    add("--json", action="store_true", help="print one JSON object")


REF = "an image: its name, digest or ID in the store, an archive, a layout, or oci://HOST/..."


def platform_argument(parser: argparse.ArgumentParser) -> None:
    """Which image of several."""
    parser.add_argument("--platform", metavar="OS/ARCH", default="", help="of several (default: this machine's)")


def platform_of(args: argparse.Namespace) -> Platform | None:
    """What the flag says."""
    from ..oci.platforms import Platform

    return Platform.parse(args.platform) if args.platform else None


def run(args: argparse.Namespace) -> int:
    """Say it."""
    from gantline.builders.evidence.explanation import explain
    from gantline.builders.evidence.opened import open_image

    from ..oci.store import Store

    store = Store.of_user()
    found = explain(store, open_image(args.ref, store, platform_of(args), transfer.wiring(args)), args.path, args.ref)
    if args.json:
        print_json(found.to_json())
        return OK
    asked = [("asked", found.asked)] if found.asked != found.path else []
    rows = [*asked, ("path", found.path), ("from" if found.layer else "left out", found.source)]
    if found.layer:
        rows.append(("layer", f"{found.layer}: {found.title[:100] or 'untitled'}"))
        rows.append(("", found.digest))
    table([*rows, *found.about.items()])
    return OK
