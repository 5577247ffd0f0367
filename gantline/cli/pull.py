"""`gantline pull`: an image or a package from a registry."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..exits import OK
from . import transfer
from .show import print_json, table, write

if TYPE_CHECKING:
    from ..oci.platforms import Platform
    from ..oci.pull import Pulled
    from ..oci.store import Store

_ALL = "all"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline pull`."""
    parser.add_argument("ref", metavar="REF", help="oci://HOST/REPOSITORY:TAG or ...@sha256:DIGEST")
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="PATH", help="of a package: its directory (default: ./NAME.pkg); of an "
        "image: FILE.tar for docker load, or the directory of an OCI layout",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace what is at -o")
    parser.add_argument(
        "--platform", default="", metavar="P", help="of an image for several: linux/arm64, say, or all (default: this "
        "machine's)",
    )  # fmt: skip
    transfer.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Get what the store does not have, and write what was asked for."""
    from ..oci.artifact import is_package
    from ..oci.pull import pull
    from ..oci.reference import Reference
    from ..oci.remote import Remote
    from ..oci.store import Store
    from ..oci.transport import Transport

    store = Store.of_user()
    reference = Reference.parse(args.ref)
    platform = _platform(args.platform)
    with Transport.of(reference, transfer.wiring(args)) as transport, transfer.bar("pull", args.json) as told:
        done = pull(Remote.of(transport, reference), reference, store, platform, told, args.jobs)
    kind = "package" if is_package(store, done.descriptor) else "image"
    where = _write(args, store, done, kind)
    if args.json:
        print_json(
            {
                "reference": str(reference),
                "digest": done.descriptor.digest,
                "kind": kind,
                "path": str(where) if where else None,
                "bytes_new": done.new,
                "bytes_reused": done.reused,
                "bytes_received": done.wire,
                "referrers": done.referrers,
            }
        )
        return OK
    rows = [("pulled", str(reference)), ("digest", done.descriptor.digest)]
    if done.referrers:
        rows.append(("with", f"{done.referrers} about it (signatures, provenance)"))
    rows.append(("bytes", transfer.amounts(done.new, done.reused)))
    rows.append(("where", str(where) if where else f"{store.root}, as {reference}"))
    table(rows)
    if kind == "package":
        write(f"\nnext:  gantline serve {where}\n")
    return OK


def _platform(text: str) -> Platform | None:
    from ..oci.platforms import Platform

    if text == _ALL:
        return None
    return Platform.parse(text) if text else Platform.of_this_machine()


def _write(args: argparse.Namespace, store: Store, done: Pulled, kind: str) -> Path | None:
    """Put it where -o says. An image without -o stays in the store."""
    from ..oci.archive import write_archive, write_layout
    from ..oci.artifact import write_package

    output: Path | None = args.output
    if kind == "package":
        title = done.reference.repository.rpartition("/")[2]
        target = output or Path(f"{title}.pkg")
        write_package(store, done.descriptor, target, args.overwrite)
        return target
    if output is not None:
        writes = write_archive if output.suffix == ".tar" else write_layout
        writes(store, done.descriptor, str(done.reference), output, args.overwrite)
    return output
