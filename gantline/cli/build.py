"""`gantline build`: from a package to an image, without a daemon."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..exits import OK
from . import registered, transfer
from .lock import add_sources, sources_of
from .run import URL_HELP
from .show import print_json, size, table, write

if TYPE_CHECKING:
    from gantline.builders.engine.engine import Engine
    from gantline.builders.image.order import Delivered

    from ..oci.reference import Reference


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline build`."""
    add = parser.add_argument
    add("ref", metavar="REF", help="a package: a directory, or registry://NAME...")
    add("--tag", metavar="NAME:TAG", default="", help="its name in the store (default: the package's name, :latest)")
    add(
        "-o", dest="output", type=Path, metavar="FILE.tar|DIR",
        help="also write an archive, or an OCI image layout; with --target context: a Dockerfile and its layers",
    )  # fmt: skip
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
        help="fail if it is larger, as it is pulled, and list what weighs most",
    )
    add("--pull", action="store_true", help="ask the registry again what the base's tag stands for")
    add("--apt", metavar="NAME", action="append", default=[], help="add a Debian package to the base; may be repeated")
    add("--debian-mirror", metavar="URL", default="", help="their archive (default: the base's sources.list)")
    add(
        "--allow-missing", metavar="LIBRARY", action="append", default=[],
        help="a shared library that is needed by name and never used: libtk8.6.so, say; may be repeated",
    )  # fmt: skip
    add("--check-reproducible", action="store_true", help="build a second time from nothing, and compare")
    add_sources(parser)
    transfer.connection(parser)
    registered.arguments(parser)
    add(
        "--sign", type=Path, metavar="KEY",
        help="sign it with this Ed25519 key (PEM), as `gantline sign` does; the signature goes where the image goes",
    )  # fmt: skip
    add("--push", metavar="DEST", default="", help="then send it: oci://HOST/REPOSITORY:TAG, as `gantline push` does")
    add(
        "--target", choices=("oci", "docker", "context"), default="oci",
        help="docker: then load it into the container engine, too; context: write a Dockerfile at -o, for engines "
        "that build",
    )  # fmt: skip
    add("--engine-url", default="", metavar="URL", help=URL_HELP)
    add("--no-record", action="store_true", help="do not record package and image in the registry")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Build, deliver, and say what is new and what an earlier build had made."""
    from ..api import build
    from ..oci.reference import Reference

    # what is wrong with where it goes is said before it is built
    destination = Reference.parse(args.push) if args.push else None
    engine = _engine(args) if args.target == "docker" else None
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
        allow_missing=tuple(args.allow_missing),
        context=args.target == "context",
        wiring=transfer.wiring(args),
        sign=args.sign,
        sources=sources_of(args),
        registry=args.registry,
        record=not args.no_record,
        log=_quiet if args.json else _told,
    )
    delivered: dict[str, Any] = {}
    if destination is not None:
        delivered["pushed"] = _push(done, destination, args)
    if engine is not None:
        delivered["loaded"] = _load(done, engine)
    if args.json:
        checked = {"reproducible": True} if args.check_reproducible else {}
        print_json({**summary(done), **checked, **delivered})
    else:
        _tell(done, args, delivered)
    return OK


def _engine(args: argparse.Namespace) -> Engine:
    from gantline.builders.engine.engine import needed

    from ..oci.platforms import Platform

    engine = needed(args.engine_url)
    asked = tuple(map(Platform.parse, filter(None, args.platform.split(",")))) or (Platform.of_this_machine(),)
    if not any(platform.serves(engine.platform) for platform in asked):
        raise UsageError(
            f"--target docker: engine {engine.url} runs {engine.platform}; pass --platform {engine.platform}"
        )
    return engine


def _load(done: Delivered, engine: Engine) -> dict[str, Any]:
    """Bring the one for its platform into an engine."""
    from ..oci.image import Image, choose
    from ..oci.store import Store

    store = Store.of_user()
    try:
        image = Image.open(store, choose(store, done.descriptor, engine.platform, done.tag))
        found, reused = engine.load(store, image, done.tag)
    finally:
        engine.close()
    return {"engine": engine.url, "id": found, "reused": reused}


def _push(done: Delivered, reference: Reference, args: argparse.Namespace) -> dict[str, Any]:
    """Send it with all that is said about it."""
    from ..oci.push import push
    from ..oci.remote import Remote
    from ..oci.store import Store
    from ..oci.transport import Transport

    with Transport.of(reference, transfer.wiring(args)) as transport, transfer.bar("push", args.json) as told:
        sent = push(Store.of_user(), done.descriptor, Remote.of(transport, reference), reference, told)
    bytes_ = {"bytes_new": sent.new, "bytes_reused": sent.reused, "bytes_mounted": sent.mounted}
    return {"reference": str(reference), "digest": sent.digest, **bytes_}


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


def _tell(done: Delivered, args: argparse.Namespace, delivered: dict[str, Any]) -> None:
    rows = [("image", done.tag), ("digest", done.descriptor.digest)]
    for one in done.images:
        rows += [("platform", str(one.image.platform)), ("image ID", one.image.id)]
        for made in one.layers:
            state = "reused" if made.reused else "new"
            rows.append(("layers", f"{size(made.layer.descriptor.size):>10}  {state:6}  {_short(made.layer.title)}"))
        rows.append(("bytes", f"{size(one.new)} new, {size(one.reused)} reused, on a base of {size(one.below)}"))
    if args.check_reproducible:
        rows.append(("again", "a second build, from nothing, has the same image ID"))
    if args.output is not None:
        rows.append(("written", f"{args.output} ({size(done.written)})"))
    if sent := delivered.get("pushed"):
        amounts = transfer.amounts(sent["bytes_new"], sent["bytes_reused"], sent["bytes_mounted"])
        rows.append(("pushed", f"{sent['reference']} ({amounts})"))
    if loaded := delivered.get("loaded"):
        rows.append(("loaded", f"{loaded['engine']}{' (there already)' if loaded['reused'] else ''}"))
    if args.sign:
        rows.append(("signed", f"by {args.sign}"))
    table(rows)
    write(f"\nnext:  gantline run {done.tag}\n       gantline push {done.tag} HOST/{done.tag}\n")


def _short(title: str, most: int = 80) -> str:
    return title if len(title) <= most else title[: most - 4] + " ..."
