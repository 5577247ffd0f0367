"""Build: from a package to an image in the store, the whole of it in one function."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass

from gantline.errors import UsageError
from gantline.oci.image import Image, write_manifest
from gantline.packages import Package

from . import content, places, runtime
from .base import Base
from .layer import Layer
from .settings import image_config
from .shelf import Shelf
from .wheel import Wheel

BIG = 4 << 20  # bytes: a wheel file of so many has a layer of its own
MOST = 40  # layers: engines stop at 127, and each costs a round trip


@dataclass(frozen=True, slots=True)
class Made:
    """A layer of ours and whether an earlier build had made it."""

    layer: Layer
    reused: bool


@dataclass(frozen=True, slots=True)
class Built:
    """An image and the layers that were put upon its base."""

    image: Image
    base: Base
    layers: tuple[Made, ...]


def build_image(package: Package, base: Base, wheels: Sequence[Wheel], shelf: Shelf) -> Built:
    """Base, wheels, runtime, weights, code, package: each one layer or several, in the order in which they change."""
    made = [*_wheel_layers(base, wheels, shelf), _runtime_layer(base, shelf), *_package_layers(package, shelf)]
    if len(base.layers) + len(made) > MOST:
        raise UsageError(f"{len(base.layers) + len(made)} layers; an image has {MOST} at most: use a base with fewer")
    descriptors = (*base.layers, *(m.layer.descriptor for m in made))
    diff_ids = (*base.diff_ids, *(m.layer.diff_id for m in made))
    history = (*(f"base {base.name}" for _ in base.layers), *(m.layer.title for m in made))
    config = image_config(base, package.manifest, content.folder(package), diff_ids, history, _created())
    image = write_manifest(shelf.store, config, descriptors, {"org.opencontainers.image.title": package.name})
    return Built(image, base, tuple(made))


def _wheel_layers(base: Base, wheels: Sequence[Wheel], shelf: Shelf) -> list[Made]:
    """The heaviest wheels one by one, as many as there may be; the rest together."""
    site = places.site(base.python)
    heavy = sorted((w for w in wheels if w.path.stat().st_size >= BIG), key=lambda w: -w.path.stat().st_size)
    alone = heavy[: max(0, MOST - 8 - len(base.layers))]
    together = sorted((w for w in wheels if w not in alone), key=lambda w: w.distribution)
    made = []
    for wheel in sorted(alone, key=lambda w: w.distribution):
        title = f"wheel {wheel.distribution} {wheel.version}"
        made.append(_kept(shelf, wheel.key(site, base.python), title, wheel, site, base))
    if together:
        key = [wheel.key(site, base.python) for wheel in together]
        title = f"wheels {', '.join(f'{w.distribution} {w.version}' for w in together)}"
        layer, reused = shelf.layer(
            key, title, lambda: [e for w in together for e in w.entries(site, base.python)]
        )  # fmt: skip
        made.append(Made(layer, reused))
    return made


def _kept(shelf: Shelf, key: object, title: str, wheel: Wheel, site: str, base: Base) -> Made:
    return Made(*shelf.layer(key, title, lambda: wheel.entries(site, base.python)))


def _runtime_layer(base: Base, shelf: Shelf) -> Made:
    entries = runtime.entries(base.python, base.interpreter)
    return Made(*shelf.layer(runtime.key(entries), f"gantline {runtime.version()}", lambda: entries))


def _package_layers(package: Package, shelf: Shelf) -> list[Made]:
    made = []
    for part in content.parts(package):
        entries = part.entries
        made.append(Made(*shelf.layer(part.key, part.title, lambda e=entries: e, part.compress)))  # type: ignore[misc]
    return made


def _created() -> str:
    """SOURCE_DATE_EPOCH as RFC 3339, else the epoch: when it was built does not change what it is."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "0")
    try:
        moment = datetime.datetime.fromtimestamp(int(given), datetime.UTC)
    except (ValueError, OverflowError, OSError) as e:
        raise UsageError(f"SOURCE_DATE_EPOCH={given!r:.40}: expected seconds since 1970") from e
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
