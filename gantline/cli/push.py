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
    parser.add_argument("source", metavar="SRC", help="a name in the store, an image archive or layout, a package")
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
    descriptor = _source(args, store)
    with Transport.of(reference, transfer.wiring(args)) as transport, transfer.bar("push", args.json) as told:
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
    from ..oci.artifact import keep_package
    from ..oci.reading import is_archive, only, read
    from ..oci.reference import Reference
    from ..packages import MANIFEST, Package
    from ..references import is_registered, local

    if is_registered(args.source):
        return keep_package(store, Package.open(local(args.source)))
    if (found := store.find(args.source)) is not None:
        return found
    path = Path(args.source)
    if (path / MANIFEST).is_file():
        return keep_package(store, Package.open(path))
    if is_archive(path):
        return only(read(path, store), path, args.image).descriptor
    try:
        found = store.find(str(Reference.parse(args.source)))
    except UsageError:
        found = None
    if found is None:
        raise NotFound(
            f"{args.source}: no such name in {store.root}, nor an archive, a layout or a package; see `gantline build`"
        )
    return found
