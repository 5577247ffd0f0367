"""`gantline sign`: a signed statement of where an image or a package comes from, kept beside it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..exits import OK
from . import registered, transfer
from .show import plain, print_json, table, write

if TYPE_CHECKING:
    from ..oci.descriptor import Descriptor
    from ..oci.store import Store
    from ..oci.wiring import Wiring


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline sign`."""
    add = parser.add_argument
    add(
        "ref",
        metavar="REF",
        help="an image (name, digest, archive, layout, oci://...), or a package (also registry://...)",
    )
    add(
        "--key", type=Path, required=True, metavar="FILE", help="an Ed25519 private key in PEM: `gantline keys signing`"
    )
    registered.arguments(parser)
    transfer.connection(parser)
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Sign it; `gantline push` sends the signature along."""
    from gantline.builders.evidence.envelope import private_key
    from gantline.builders.evidence.signature import sign

    from ..oci.lease import in_use
    from ..oci.store import Store

    key = private_key(args.key)
    _warn(args.key)
    with in_use(Store.of_user()) as store:
        done = sign(store, subject(args.ref, store, transfer.wiring(args), args.registry), key, args.ref)
    if args.json:
        signed = [{"subject": one.subject, "referrer": one.referrer} for one in done]
        print_json({"ref": args.ref, "key": done[0].key, "signed": signed})
        return OK
    table([*(("signed", one.subject) for one in done), ("key", done[0].key), ("where", f"{store.root}, beside it")])
    write(f"\nnext:  gantline verify {args.ref} --key PUBLIC.pem\n")
    return OK


def _warn(key: Path) -> None:
    """Whoever may read a private key signs as its owner; no error, as what mounts secrets may leave no choice."""
    if os.name == "posix" and key.stat().st_mode & 0o044:
        sys.stderr.write(f"gantline sign: warning: {plain(str(key))}: others here may read it; chmod 600 it\n")


def subject(ref: str, store: Store, wiring: Wiring | None = None, registry: str = "") -> Descriptor:
    """What a REF stands for, in the store: a package is kept there as the artifact that a push would send."""
    from gantline.builders.evidence.opened import described

    from ..oci.artifact import keep_package
    from ..packages import MANIFEST, Package
    from ..references import is_registered, local

    if is_registered(ref):
        return keep_package(store, Package.open(local(ref, registry)))
    if (Path(ref) / MANIFEST).is_file():
        return keep_package(store, Package.open(ref))
    return described(ref, store, wiring)
