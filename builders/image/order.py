"""Order: what a user asks of a build, carried out: an image for each platform, under one name in the store."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gantline.errors import BadArtefact, UsageError, VerificationFailed
from gantline.home import home
from gantline.oci.archive import write_archive, write_layout
from gantline.oci.descriptor import Descriptor
from gantline.oci.image import write_index
from gantline.oci.lease import in_use
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from gantline.oci.wiring import Wiring
from gantline.packages import Package

from ..lock.target import check_platform
from . import places
from .base import Base, open_base
from .build import Built, Supplies, build_image
from .closure import missing_in
from .context import check_replaced, write_context
from .settings import misleading
from .shelf import Shelf

_TAG = re.compile(r"[a-z0-9]+([._-][a-z0-9]+|__[a-z0-9]+|/[a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SHOWN = 5  # libraries that a base lacks
Log = Callable[[str], None]
Supply = Callable[[Package, Base], Supplies]
Sign = Callable[[Store, Descriptor], None]


@dataclass(frozen=True, slots=True)
class Order:
    """`tag` is NAME:TAG in the store; `output` a `.tar` or a directory, if any; `max_size` bytes as pulled, 0: any.

    `context`: `output` is to hold a Dockerfile, and not an image. `pull`: ask the registry again what the base's tag
    stands for; `wiring`: how that registry is spoken to.
    """

    tag: str
    platforms: tuple[Platform, ...]
    base: str
    output: Path | None = None
    overwrite: bool = False
    python: tuple[int, int] | None = None
    max_size: int = 0
    twice: bool = False
    pull: bool = False
    context: bool = False
    wiring: Wiring | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """`descriptor` is the image's manifest, or the index of several; `written` the bytes at `output`."""

    tag: str
    descriptor: Descriptor
    images: tuple[Built, ...]
    written: int = 0


def carry_out(package: Package, order: Order, supply: Supply, log: Log, sign: Sign | None = None) -> Delivered:
    """Build for each platform, name it in the store, and write it out where that is asked for.

    `sign` keeps what is to be said about it in the store, and so in what is written.
    """
    check_tag(order.tag)
    _check_output(order)
    for platform in order.platforms:
        check_platform(platform)
    package.verify_files()
    with in_use(Store.of_user()) as store:
        return _carry_out(package, order, supply, log, sign, Shelf(store, home() / "layers"))


def _carry_out(package: Package, order: Order, supply: Supply, log: Log, sign: Sign | None, shelf: Shelf) -> Delivered:
    images = tuple(_one(package, platform, order, supply, shelf, log) for platform in order.platforms)
    single = len(images) == 1
    descriptor = images[0].image.descriptor if single else write_index(shelf.store, tuple(b.image for b in images), {})
    if sign is not None:
        sign(shelf.store, descriptor)
    written = 0
    if order.output is not None:
        if order.context:
            written = write_context(shelf.store, images[0], order.tag, order.output, order.overwrite)
        else:
            write = write_archive if order.output.suffix == ".tar" else write_layout
            written = write(shelf.store, descriptor, order.tag, order.output, order.overwrite)
    shelf.store.name(order.tag, descriptor)
    return Delivered(order.tag, descriptor, images, written)


def default_base(python: tuple[int, int] | None) -> str:
    """The base where none is named: Docker's own image of a Python on Debian 12, without compilers."""
    major, minor = python or sys.version_info[:2]
    return f"docker.io/library/python:{major}.{minor}-slim-bookworm"


def check_tag(tag: str) -> str:
    """The tag, or UsageError: NAME:TAG as registries have them."""
    if not _TAG.fullmatch(tag):
        raise UsageError(f"--tag {tag!r:.200}: expected NAME:TAG, lower case letters and digits in NAME, iris:1 say")
    return tag


def _check_output(order: Order) -> None:
    """UsageError, before minutes of work, for where it cannot go."""
    if order.output is not None and os.path.lexists(order.output) and not order.overwrite:
        raise UsageError(f"{order.output} exists; choose another -o or pass --overwrite")
    if not order.context:
        return
    if order.output is None or order.output.suffix == ".tar":
        raise UsageError("--target context writes a directory: say where with -o DIR")
    check_replaced(order.output)
    if len(order.platforms) > 1:
        raise UsageError("--target context: a Dockerfile is for one platform; build one context for each")


def _one(package: Package, platform: Platform, order: Order, supply: Supply, shelf: Shelf, log: Log) -> Built:
    log(f"{platform}: base {order.base}")
    base = open_base(order.base, platform, shelf.store, order.python, order.pull, order.wiring)
    _check_plain(base)
    for note in (*base.notes, *_lacking(base), *_without(base)):
        log(f"{platform}: {note}")
    supplies = supply(package, base)
    wheels = len(supplies.wheels.runtime) + len(supplies.wheels.script or ())
    log(f"{platform}: layers of {wheels} wheels and the package")
    built = build_image(package, base, supplies, shelf)
    _within(built, platform, order.max_size)
    if order.twice:
        _compare(built, package, supplies)
    return built


def _check_plain(base: Base) -> None:
    """BadArtefact for what was built by Gantline: its wheels would be among the new ones, at other versions."""
    if base.tree.find(places.ROOT) is not None:
        below = (base.settings.get("Labels") or {}).get("org.opencontainers.image.base.name", "")
        raise BadArtefact(
            f"base {base.name}: has /{places.ROOT}, where images keep their model and its wheels; give the base that "
            f"it was built on{f', {below}' if below else ''}"
        )


def _without(base: Base) -> Iterator[str]:
    """Which of the base's variables the image does not have."""
    if names := misleading(base.settings.get("Env") or []):
        yield f"base {base.name}: variables left out, since they mislead the image's Python: {', '.join(names)}"


def _lacking(base: Base) -> Iterator[str]:
    """What of the base's own files cannot be loaded; it may well be that nobody does."""
    found = missing_in(base)
    shown = [f"{one.library} ({one.path.rpartition('/')[2]})" for one in found[:_SHOWN]]
    if shown:
        more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
        yield f"base {base.name}: its own files lack {', '.join(shown)}{more}; no matter unless they are used"


def _within(built: Built, platform: Platform, most: int) -> None:
    """VerificationFailed, with what weighs most, for an image that is over its budget."""
    total = built.new + built.reused + built.below
    if not most or total <= most:
        return
    weights = [(m.layer.descriptor.size, m.layer.title) for m in built.layers]
    weights.append((built.below, f"base {built.base.name}"))
    heaviest = "; ".join(f"{title[:60]} {_size(size)}" for size, title in sorted(weights, reverse=True)[:6])
    raise VerificationFailed(f"the image for {platform} is {_size(total)}, over --max-size {_size(most)}: {heaviest}")


def _size(count: int) -> str:
    """As exact as a budget is: what is over it by a little must not look the same."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"


def _compare(built: Built, package: Package, supplies: Supplies) -> None:
    """VerificationFailed, naming the layers, where a build from nothing comes out otherwise."""
    with tempfile.TemporaryDirectory(prefix="gantline-again-") as folder:
        shelf = Shelf(Store(Path(folder, "store")).prepared(), Path(folder, "layers"))
        again = build_image(package, built.base, supplies, shelf)
    pairs = zip(built.layers, again.layers, strict=True)
    other = [one.layer.title for one, two in pairs if one.layer.diff_id != two.layer.diff_id]
    if other or built.image.id != again.image.id:
        raise VerificationFailed(f"a second build came out otherwise: {', '.join(other) or 'its config'}")
