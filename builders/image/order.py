"""Order: what a user asks of a build, carried out: an image for each platform, under one name in the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gantline.errors import UsageError
from gantline.home import home
from gantline.oci.archive import write_archive, write_layout
from gantline.oci.descriptor import Descriptor
from gantline.oci.image import write_index
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from gantline.packages import Package

from .base import Base, open_base
from .build import Built, Wheels, build_image
from .content import Part
from .shelf import Shelf

_TAG = re.compile(r"[a-z0-9]+([._-][a-z0-9]+|__[a-z0-9]+|/[a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
Log = Callable[[str], None]
Supply = Callable[[Package, Base], tuple[Wheels, Sequence[Part]]]  # wheels, and layers of what they need besides


@dataclass(frozen=True, slots=True)
class Order:
    """`tag` is NAME:TAG in the store; `output` a `.tar` or a directory, if any."""

    tag: str
    platforms: tuple[Platform, ...]
    base: str
    output: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """`descriptor` is the image's manifest, or the index of several; `written` the bytes at `output`."""

    descriptor: Descriptor
    images: tuple[Built, ...]
    written: int = 0


def carry_out(package: Package, order: Order, supply: Supply, log: Log) -> Delivered:
    """Build for each platform, name it in the store, and write it out where that is asked for."""
    check_tag(order.tag)
    package.verify_files()
    shelf = Shelf(Store.of_user(), home() / "layers")
    images = tuple(_one(package, platform, order, supply, shelf, log) for platform in order.platforms)
    single = len(images) == 1
    descriptor = images[0].image.descriptor if single else write_index(shelf.store, tuple(b.image for b in images), {})
    written = 0
    if order.output is not None:
        write = write_archive if order.output.suffix == ".tar" else write_layout
        written = write(shelf.store, descriptor, order.tag, order.output, order.overwrite)
    shelf.store.name(order.tag, descriptor)
    return Delivered(descriptor, images, written)


def check_tag(tag: str) -> str:
    """The tag, or UsageError: NAME:TAG as registries have them."""
    if not _TAG.fullmatch(tag):
        raise UsageError(f"--tag {tag!r:.200}: expected NAME:TAG, lower case letters and digits in NAME, iris:1 say")
    return tag


def _one(package: Package, platform: Platform, order: Order, supply: Supply, shelf: Shelf, log: Log) -> Built:
    log(f"{platform}: base {order.base}")
    base = open_base(order.base, platform, shelf.store)
    for note in base.notes:
        log(f"{platform}: {note}")
    log(f"{platform}: Python {base.python[0]}.{base.python[1]}; wheels")
    wheels, extra = supply(package, base)
    log(f"{platform}: layers of {len(wheels.runtime) + len(wheels.script or ())} wheels and the package")
    return build_image(package, base, wheels, extra, shelf)
