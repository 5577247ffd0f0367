"""`gantline lock`: every distribution that a package's image needs, pinned by digest, one file for each platform."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..blobs import publish_file
from ..errors import UsageError
from ..exits import OK
from ..oci.platforms import Platform
from ..packages import Package
from ..references import local
from . import registered, transfer
from .show import print_json, size, table

if TYPE_CHECKING:
    from gantline.builders.lock.building import Building
    from gantline.builders.lock.pylock import Lock
    from gantline.builders.lock.sources import Sources


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline lock`."""
    add = parser.add_argument
    add("ref", metavar="REF", help="a package: a directory, or registry://NAME...")
    registered.arguments(parser)
    add("--platform", metavar="OS/ARCH[,...]", help="what the image will run on; default: this machine's processor")
    add("--python", metavar="3.N", help="the base's Python; default: what the package asks for, else this one")
    add("--glibc", metavar="2.N", help="the base's C library; default: 2.36, Debian 12's")
    add(
        "-o", dest="output", metavar="FILE", type=Path,
        help="where to write; a directory for several platforms; default: pylock.NAME-OS-ARCH.toml in this directory",
    )  # fmt: skip
    add("--overwrite", action="store_true", help="replace a lock that exists")
    add_sources(parser)
    add(
        "--engine-url", default="", metavar="URL",
        help="the container engine that builds wheels (default: DOCKER_HOST, then the sockets of Docker and podman)",
    )  # fmt: skip
    transfer.connection(parser)
    add("--json", action="store_true", help="print one JSON object")


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Where distributions come from, beyond what pip and uv are configured with."""
    add = parser.add_argument
    add("--index-url", metavar="URL", help="the index to ask, instead of the one that pip is configured with")
    add("--extra-index-url", metavar="URL", action="append", default=[], help="another index; may be repeated")
    add("--find-links", metavar="DIR", action="append", default=[], help="a directory of wheels; may be repeated")
    add("--no-index", action="store_true", help="ask no index")
    add("--wheelhouse", metavar="DIR", type=Path, help="gather the wheels there; with --offline: take them from there")
    add("--offline", action="store_true", help="do not use the network")
    add(
        "--build-wheels", action="store_true",
        help="build what is there as source only: in a container, or, where no engine answers, on this machine",
    )  # fmt: skip
    add(
        "--build-wheels-in", choices=("container", "here"), default="",
        help="the same, and where: code of strangers runs there",
    )  # fmt: skip
    add("--builder", metavar="REF|FILE|DIR", default="", help="in which image they are built (default: the base)")


def run(args: argparse.Namespace) -> int:
    """Resolve each platform, then write: no file appears when one of them has no answer."""
    from gantline.builders.lock.resolve import lock_package
    from gantline.builders.lock.target import GLIBC

    package = Package.open(local(args.ref, args.registry, transfer.wiring(args)))
    platforms = _platforms(args.platform)
    python = _pair(args.python or package.manifest.environment.python or _own(), "--python", "3.11")
    glibc = _pair(args.glibc, "--glibc", "2.36") if args.glibc else GLIBC
    sources = sources_of(args)
    notes: list[str] = []
    locks = [(_target(args.output, package, p, len(platforms)), p) for p in platforms]
    for path, _ in locks:
        if path.exists() and not args.overwrite:
            raise UsageError(f"{path} exists; choose another -o or pass --overwrite")
    made = [(path, lock_package(package, p, python, glibc, sources, notes.append)) for path, p in locks]
    if args.wheelhouse and not args.offline:
        _gather([lock for _, lock in made], sources)
    for path, lock in made:
        with publish_file(path, args.overwrite) as work:
            work.write_bytes(lock.to_bytes())
    if args.json:
        print_json({"locks": [_summary(path, lock) for path, lock in made], "notes": notes})
        return OK
    rows = [row for path, lock in made for row in _rows(path, lock)]
    asked = dict.fromkeys((f"{a.shown}  ({a.origin})") for _, lock in made for a in lock.asked)
    table([*rows, *(("asked for", line) for line in asked), *(("note", note) for note in dict.fromkeys(notes))])
    return OK


def sources_of(args: argparse.Namespace) -> Sources:
    """The configured sources with what the flags say."""
    from gantline.builders.lock.sources import configured, local_path

    found = configured()
    if args.offline and args.wheelhouse and not args.wheelhouse.is_dir():
        raise UsageError(
            f"--wheelhouse {args.wheelhouse}: no such directory, and --offline takes wheels from nowhere else"
        )
    given = [("--find-links", place) for place in args.find_links]
    given += [("--index-url", args.index_url)] if args.index_url else []
    for flag, place in (*given, *(("--extra-index-url", place) for place in args.extra_index_url)):
        if (path := local_path(place)) and not Path(path).is_dir():
            raise UsageError(f"{flag} {place}: no such directory")
    return replace(
        found,
        index=args.index_url or found.index,
        extra=(*args.extra_index_url, *found.extra),
        find_links=(*args.find_links, *found.find_links),
        no_index=args.no_index or found.no_index,
        offline=args.offline or found.offline,
        wheelhouse=args.wheelhouse,
        build=_building(args),
    )


def _building(args: argparse.Namespace) -> Building | None:
    """Whether and where wheels are built; UsageError for a --builder that has nothing to build."""
    from gantline.builders.lock.building import AUTO, Building

    if not (args.build_wheels or args.build_wheels_in):
        if args.builder:
            raise UsageError(f"--builder {args.builder}: say --build-wheels too, since code of others runs then")
        return None
    return Building(args.build_wheels_in or AUTO, args.builder, getattr(args, "engine_url", ""))


def _platforms(text: str | None) -> list[Platform]:
    found = [Platform.parse(one.strip()) for one in text.split(",")] if text else [Platform.of_this_machine()]
    return list(dict.fromkeys(found))


def _own() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _pair(text: str, flag: str, example: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d)\.(\d{1,2})(\.\d+)?", text)
    if not match:
        raise UsageError(f"{flag} {text!r:.40}: expected a version such as {example}")
    return int(match[1]), int(match[2])


def _target(output: Path | None, package: Package, platform: Platform, count: int) -> Path:
    """PEP 751 knows a lock by its name: pylock.toml, or pylock.NAME.toml where NAME has no dots."""
    name = f"{package.name}-{platform}".replace("/", "-").replace(".", "-")
    if output is None:
        return Path(f"pylock.{name}.toml")
    if output.is_dir() or count > 1:
        if output.is_file():
            raise UsageError(f"-o {output}: {count} platforms make {count} files; name a directory")
        return output / f"pylock.{name}.toml"
    return output


def _gather(locks: list[Lock], sources: Sources) -> None:
    from gantline.builders.lock.wheelhouse import fetch

    for lock in locks:
        fetch(lock, sources=sources, progress=progress())
    if sys.stderr.isatty():
        sys.stderr.write("\n")


def progress() -> Any:
    """A line that changes on a terminal, and nothing in a file."""
    shown = -1

    def tell(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if percent != shown and sys.stderr.isatty():
            shown = percent
            sys.stderr.write(f"\rwheels: {percent} % of {size(total)}")

    return tell


def _summary(path: Path, lock: Lock) -> dict[str, Any]:
    return {
        "path": str(path),
        "platform": str(lock.platform),
        "python": lock.target.version,
        "environments": 2 if lock.apart else 1,
        "bytes": sum(p.size for p in lock.packages),
        "packages": [{"name": p.name, "version": p.version, "digest": p.digest} for p in lock.packages],
        "requirements": [{"line": a.shown, "origin": a.origin} for a in lock.asked],
    }


def show(path: Path, as_json: bool) -> int:
    """A lock, whole: for `gantline inspect`."""
    from gantline.builders.lock.pylock import Lock

    lock = Lock.read(path)
    if as_json:
        print_json(_summary(path, lock))
        return OK
    rows = [*_rows(path, lock), *(("index", index) for index in lock.indexes)]
    rows += [("asked for", f"{one.shown}  ({one.origin})") for one in lock.asked]
    for one in lock.packages:
        where = f" [{', '.join(one.groups)}]" if lock.apart else ""
        rows.append(("wheel", f"{one.name} {one.version}{where}  {size(one.size)}  {one.digest[:19]}..."))
    table(rows)
    return OK


def _rows(path: Path, lock: Lock) -> list[tuple[str, str]]:
    total = sum(p.size for p in lock.packages)
    rows = [("lock", str(path)), ("for", str(lock.target))]
    rows.append(("wheels", f"{len(lock.packages)}, {size(total)} to download"))
    if lock.apart:
        rows.append(("environments", "two: the runtime's, and the script's"))
    return rows
