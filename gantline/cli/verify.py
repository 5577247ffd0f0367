"""`gantline verify`: check digests and signatures of a package or an image; replay a package's golden samples."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadArtefact, VerificationFailed
from ..exits import OK
from ..oci.descriptor import Descriptor
from ..packages import MANIFEST, Package
from ..references import local
from . import registered, transfer
from .show import print_json, size, table

if TYPE_CHECKING:
    from ..oci.store import Store
    from ..oci.wiring import Wiring

_NOT_READ = Descriptor("", "", 0)  # an archive's or a layout's, which comes when it is read


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline verify`."""
    parser.add_argument(
        "ref", metavar="REF", help="a package: a directory, registry://NAME...; an image: its name, digest or ID in "
        "the store, an archive, a layout; either: oci://HOST/...",
    )  # fmt: skip
    parser.add_argument("--key", type=Path, metavar="FILE", help="also check its signature by this Ed25519 key (PEM)")
    registered.arguments(parser)
    transfer.connection(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Hash all there is, and of a package run the golden samples; an error names what does not hold."""
    if (image := _image(args.ref, transfer.wiring(args))) is not None:
        return _verify_image(args, image)
    return _verify_package(args)


def _verify_package(args: argparse.Namespace) -> int:
    from gantline.accelerators.replay import replay
    from gantline.accelerators.session import Session

    ref, args.ref = args.ref, local(args.ref, args.registry, transfer.wiring(args))
    package = _opened(args.ref)
    files = package.verify_files()
    signed = _package_signature(package, args.key, ref) if args.key else {}
    found = []
    if package.manifest.golden:
        session = Session.open(package)
        try:
            found = replay(session)
        finally:
            session.close()
    rows = sum(r.rows for r in found)
    worst = max((r.max_rel for r in found), default=0.0)
    if args.json:
        print_json(
            {
                "path": str(args.ref),
                "digest": package.digest,
                "files": files,
                "golden_samples": len(found),
                "golden_rows": rows,
                "max_rel_error": worst,
                "verified": True,
                **signed,
            }
        )
        return OK
    told = [("verified", package.name), ("digest", package.digest or ""), ("files", f"{files}, all as in the manifest")]
    bodies = sum(not r.rows for r in found)
    what = " and ".join([f"{rows} rows"] * bool(rows) + [f"{bodies} request{'s' * (bodies != 1)}"] * bool(bodies))
    held = f"{what} replayed, max relative error {worst:.2g}" if found else "the package has none"
    table([*told, ("golden", held), *_signed_rows(signed)])
    return OK


def _image(ref: str, wiring: Wiring) -> Descriptor | None:
    """What REF stands for if it is no package's directory, nor any other that is no layout; None for those."""
    from ..oci.artifact import is_package
    from ..oci.reading import is_archive
    from ..oci.store import Store
    from ..references import OCI, is_registered

    path = Path(ref)
    if is_registered(ref) or (path / MANIFEST).exists():
        return None
    if path.exists():
        return _NOT_READ if is_archive(path) else None
    from gantline.builders.evidence.opened import described

    store = Store.of_user()
    found = described(ref, store, wiring)
    return None if ref.startswith(OCI) and is_package(store, found) else found


def _verify_image(args: argparse.Namespace, image: Descriptor) -> int:
    from gantline.builders.evidence.check import check

    from ..oci.reading import only, read
    from ..oci.store import Store

    store = Store.of_user()
    with ExitStack() as stack:
        place = store
        if image is _NOT_READ:  # into a store of its own: what the user's has already would not be looked at
            place = Store(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gantline-verify-")))).prepared()
            image = only(read(Path(args.ref), place), Path(args.ref)).descriptor
        checked = check(place, image, args.ref)
        signed = _signature_in((place, store), image.digest, args.key, args.ref) if args.key else {}
    if args.json:
        told = {"manifests": checked.manifests, "blobs": checked.blobs, "bytes": checked.size}
        print_json({"ref": args.ref, "digest": image.digest, **told, "verified": True, **signed})
        return OK
    held = f"{checked.manifests + checked.blobs}, {size(checked.size)}, all as their digests say"
    table([("verified", args.ref), ("digest", image.digest), ("blobs", held), *_signed_rows(signed)])
    return OK


def _package_signature(package: Package, key: Path, ref: str) -> dict[str, Any]:
    from ..oci.artifact import keep_package
    from ..oci.store import Store

    store = Store.of_user()
    return _signature(store, keep_package(store, package).digest, key, ref)


def _signature_in(places: Sequence[Store], digest: str, key: Path, ref: str) -> dict[str, Any]:
    """As `_signature`, or else in the last place, if any is there: an archive may be signed after it was written."""
    from ..oci.referrers import referrers

    first, last = places
    try:
        return _signature(first, digest, key, ref)
    except VerificationFailed:
        if first is last or not referrers(last, digest):
            raise
    return _signature(last, digest, key, ref)


def _signature(store: Store, digest: str, key: Path, ref: str) -> dict[str, Any]:
    """VerificationFailed for one that is wrong, another's, or not there."""
    from gantline.builders.evidence.envelope import key_id, public_key
    from gantline.builders.evidence.signature import verify

    public = public_key(key)
    statement = verify(store, digest, public, ref)
    return {"signed_by": key_id(public), "statement": statement}


def _signed_rows(signed: dict[str, Any]) -> list[tuple[str, str]]:
    if not signed:
        return []
    asked = signed["statement"]["predicate"]["buildDefinition"]
    made_of = len(asked["resolvedDependencies"])
    return [("signed by", signed["signed_by"]), ("statement", f"{asked['buildType']}, of {made_of} materials")]


def _opened(ref: Path) -> Package:
    try:
        return Package.open(ref)
    except BadArtefact as e:
        if (ref / MANIFEST).is_file():  # a package, and damaged: what this command is asked about
            raise VerificationFailed(e.message) from e
        raise
