"""`gantline verify`: check a package's digests and replay its golden samples."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import BadArtefact, VerificationFailed
from ..exits import OK
from ..packages import MANIFEST, Package
from ..references import local
from . import registered
from .show import print_json, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline verify`."""
    parser.add_argument("ref", metavar="REF", help="a package: a directory, registry://NAME... or oci://HOST/...")
    registered.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Hash every file, then run the golden samples; an error names the file, or the output that does not hold."""
    from gantline.accelerators.replay import replay
    from gantline.accelerators.session import Session

    args.ref = local(args.ref, args.registry)
    package = _opened(args.ref)
    files = package.verify_files()
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
            }
        )
        return OK
    told = [("verified", package.name), ("digest", package.digest or ""), ("files", f"{files}, all as in the manifest")]
    bodies = sum(not r.rows for r in found)
    what = " and ".join([f"{rows} rows"] * bool(rows) + [f"{bodies} request{'s' * (bodies != 1)}"] * bool(bodies))
    held = f"{what} replayed, max relative error {worst:.2g}" if found else "the package has none"
    table([*told, ("golden", held)])
    return OK


def _opened(ref: Path) -> Package:
    try:
        return Package.open(ref)
    except BadArtefact as e:
        if (ref / MANIFEST).is_file():  # a package, and damaged: what this command is asked about
            raise VerificationFailed(e.message) from e
        raise
