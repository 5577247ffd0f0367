"""`gantline rebuild`: an image made anew from the lock and the package in it, and compared with itself."""

from __future__ import annotations

import argparse
import sys

from ..exits import OK
from . import transfer
from .explain import REF, platform_argument, platform_of
from .lock import add_sources, sources_of
from .show import print_json, size, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline rebuild`."""
    add = parser.add_argument
    add("ref", metavar="REF", help=REF)
    add("--base", metavar="REF|FILE|DIR", default="", help="take the base from there, not from the image itself")
    add("--tag", metavar="NAME:TAG", default="", help="name it so in the store, once it has come out the same")
    platform_argument(parser)
    add_sources(parser)
    transfer.connection(parser)
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Rebuild; what comes out otherwise is an error that names the layers."""
    from gantline.builders.evidence.opened import open_image
    from gantline.builders.evidence.rebuilding import Rebuilding
    from gantline.builders.image.order import check_tag

    from ..oci.lease import in_use
    from ..oci.store import Store

    if args.tag:
        check_tag(args.tag)
    wiring = transfer.wiring(args)

    def told(line: str) -> None:
        if not args.json:
            sys.stderr.write(line + "\n")

    with in_use(Store.of_user()) as store:
        image = open_image(args.ref, store, platform_of(args), wiring)
        built = Rebuilding(store, sources_of(args), told, args.base, wiring).run(image, args.ref)
        if args.tag:
            store.name(args.tag, image.descriptor)
    if args.json:
        layers = [{"title": m.layer.title, "digest": m.layer.descriptor.digest} for m in built.layers]
        print_json(
            {
                "ref": args.ref,
                "id": image.id,
                "same": True,
                "tag": args.tag or None,
                "rebuilt_bytes": built.new,
                "layers": layers,
            }
        )
        return OK
    made = f"{len(built.layers)} made anew, {size(built.new)}, on a base of {len(built.base.layers)}"
    named = [("named", args.tag)] if args.tag else []
    table([("image ID", image.id), ("layers", made), ("result", "the same image"), *named])
    return OK
