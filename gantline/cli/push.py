"""`gantline push`: an image or a package to a registry."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NotFound, UsageError
from ..exits import OK
from . import transfer
from .show import print_json, table

if TYPE_CHECKING:
    from ..oci.descriptor import Descriptor
    from ..oci.store import Store


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline push`."""
    parser.add_argument(
        "source",
        metavar="SRC",
        help="a name, digest or image ID in the store, an archive or layout, a package, one of another registry",
    )
    parser.add_argument(
        "destination",
        nargs="?",
        default="",
        metavar="DEST",
        help="oci://HOST/REPOSITORY:TAG (default: SRC)",
    )
    parser.add_argument("--image", default="", metavar="NAME", help="which image of an archive with several")
    transfer.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Send what the registry does not have, and say what that was."""
    from ..oci.lease import in_use
    from ..oci.push import push
    from ..oci.reference import Reference, has_host
    from ..oci.remote import Remote
    from ..oci.store import Store
    from ..oci.transport import Transport

    store = Store.of_user()
    destination = args.destination or args.source
    if not has_host(destination) or (not args.destination and Path(args.source).exists()):
        raise UsageError(
            f"push {args.source}: where to? Name a registry: gantline push {args.source} oci://HOST/REPOSITORY:TAG"
        )
    reference = Reference.parse(destination)
    with (
        in_use(store),
        Transport.of(reference, transfer.wiring(args)) as transport,
        transfer.bar("push", args.json) as told,
    ):
        descriptor = _source(args, store)
        done = push(store, descriptor, Remote.of(transport, reference), reference, told, args.jobs)
    if args.json:
        print_json(
            {
                "reference": str(reference),
                "digest": done.digest,
                "bytes_new": done.new,
                "bytes_reused": done.reused,
                "bytes_mounted": done.mounted,
                "bytes_sent": done.wire,
                "manifests": done.manifests,
            }
        )
        return OK
    told_rows = [("pushed", str(reference)), ("digest", done.digest)]
    table([*told_rows, ("bytes", transfer.amounts(done.new, done.reused, done.mounted))])
    return OK


def _source(args: argparse.Namespace, store: Store) -> Descriptor:
    """What SRC is, in the store."""
    from gantline.builders.evidence.opened import described

    from ..oci.artifact import keep_package
    from ..oci.reference import Reference
    from ..packages import MANIFEST, Package
    from ..references import is_registered, local

    if is_registered(args.source):
        return keep_package(store, Package.open(local(args.source)))
    found = store.find(args.source if args.destination else str(Reference.parse(args.source)))
    if found is not None:
        return found
    if (Path(args.source) / MANIFEST).is_file():
        return keep_package(store, Package.open(args.source))
    if not args.destination:  # what is there alone need not be sent there
        raise NotFound(f"{args.source}: no such name in {store.root}; see `gantline build`")
    return described(args.source, store, transfer.wiring(args), args.image)
