"""`gantline build`: from a package to an image, without a daemon."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exits import OK
from . import registered
from .lock import add_sources, sources_of
from .show import print_json, size, table, write

if TYPE_CHECKING:
    from gantline.builders.image.order import Delivered


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline build`."""
    add = parser.add_argument
    add("ref", metavar="REF", help="a package: a directory, or registry://NAME...")
    add("--tag", metavar="NAME:TAG", default="", help="its name in the store (default: the package's name, :latest)")
    add("-o", dest="output", type=Path, metavar="FILE.tar|DIR", help="also write an archive, or an OCI image layout")
    add("--overwrite", action="store_true", help="replace what is at -o")
    add("--platform", metavar="OS/ARCH[,...]", default="", help="default: linux on this machine's processor")
    add(
        "--base",
        metavar="REF|FILE|DIR",
        default="",
        help="the image below, which has Python (default: python:3.N-slim)",
    )
    add("--python", metavar="3.N", default="", help="which Python the base must have")
    add(
        "--lock",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a lock of `gantline lock`; one a platform",
    )
    add("--relock", action="store_true", help="resolve again what an earlier build has resolved")
    add(
        "--max-size",
        metavar="BYTES",
        default="",
        help="fail if the image is larger unpacked, and list what weighs most",
    )
    add("--pull", action="store_true", help="ask the registry again what the base's tag stands for")
    add("--apt", metavar="NAME", action="append", default=[], help="add a Debian package to the base; may be repeated")
    add("--debian-mirror", metavar="URL", default="", help="their archive (default: the base's sources.list)")
    add("--check-reproducible", action="store_true", help="build a second time from nothing, and compare")
    add_sources(parser)
    registered.arguments(parser)
    add("--no-record", action="store_true", help="do not record package and image in the registry")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Build, and say what is new and what an earlier build had made."""
    from ..api import build

    done = build(
        args.ref,
        tag=args.tag,
        output=args.output,
        overwrite=args.overwrite,
        platforms=tuple(filter(None, args.platform.split(","))),
        base=args.base,
        python=args.python,
        locks=tuple(args.lock),
        relock=args.relock,
        max_size=args.max_size,
        check_reproducible=args.check_reproducible,
        pull=args.pull,
        apt=tuple(args.apt),
        debian_mirror=args.debian_mirror,
        sources=sources_of(args),
        registry=args.registry,
        record=not args.no_record,
        log=_quiet if args.json else _told,
    )
    if args.json:
        print_json(summary(done))
    else:
        _tell(done, args.output)
    return OK


def _quiet(line: str) -> None:
    pass


def _told(line: str) -> None:
    sys.stderr.write(line + "\n")


def summary(done: Delivered) -> dict[str, Any]:
    """For programs: the image's digest, and each layer with its size and whether it is new."""
    return {
        "tag": done.tag,
        "digest": done.descriptor.digest,
        "written": done.written,
        "images": [
            {
                "platform": str(one.image.platform),
                "id": one.image.id,
                "digest": one.image.descriptor.digest,
                "base": {"name": one.base.name, "python": ".".join(map(str, one.base.python))},
                "bytes": {"new": one.new, "reused": one.reused, "base": one.below, "unpacked": one.unpacked},
                "layers": [
                    {
                        "title": made.layer.title,
                        "digest": made.layer.descriptor.digest,
                        "bytes": made.layer.descriptor.size,
                        "unpacked": made.layer.unpacked,
                        "files": made.layer.files,
                        "reused": made.reused,
                    }
                    for made in one.layers
                ],
            }
            for one in done.images
        ],
    }


def _tell(done: Delivered, output: Path | None) -> None:
    rows = [("image", done.tag), ("digest", done.descriptor.digest)]
    for one in done.images:
        rows += [("platform", str(one.image.platform)), ("image ID", one.image.id)]
        for made in one.layers:
            state = "reused" if made.reused else "new"
            rows.append(("layers", f"{size(made.layer.descriptor.size):>10}  {state:6}  {_short(made.layer.title)}"))
        rows.append(("bytes", f"{size(one.new)} new, {size(one.reused)} reused, on a base of {size(one.below)}"))
    if output is not None:
        rows.append(("written", f"{output} ({size(done.written)})"))
    table(rows)
    write(f"\nnext:  gantline push {done.tag} HOST/{done.tag}\n")


def _short(title: str, most: int = 80) -> str:
    return title if len(title) <= most else title[: most - 4] + " ..."
