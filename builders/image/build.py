"""Build: from a package to an image in the store, the whole of it in one function."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from gantline.errors import UsageError
from gantline.oci.image import Image, write_manifest
from gantline.packages import Package

from . import content, library, places, runtime
from .base import Base
from .content import Part
from .entry import Entry
from .layer import Layer
from .settings import image_config
from .shelf import Shelf
from .wheel import Wheel

BIG = 4 << 20  # bytes: a wheel file of so many has a layer of its own
AT_ONCE = 2  # layers: with scikit-learn three took 163 MiB of memory, two 139, one 119; most of it is bytecode
MOST = 40  # layers: engines stop at 127, and each costs a round trip


@dataclass(frozen=True, slots=True)
class Wheels:
    """What goes into site-packages; `script`, where what the package asks for cannot be in one with what serves."""

    runtime: tuple[Wheel, ...] = ()
    script: tuple[Wheel, ...] | None = None


@dataclass(frozen=True, slots=True)
class Supplies:
    """What an image needs besides its package. `beneath`: layers that change seldom; `evidence`: the topmost.

    `lock`: the digest of the lock that they are of.
    """

    wheels: Wheels
    beneath: tuple[Part, ...] = ()
    evidence: tuple[Part, ...] = ()
    lock: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A layer of ours and whether an earlier build had made it."""

    layer: Layer
    reused: bool


Maker = Callable[[], Made]


@dataclass(frozen=True, slots=True)
class Built:
    """An image and the layers that were put upon its base; `lock`: the digest of the lock in it."""

    image: Image
    base: Base
    layers: tuple[Made, ...]
    lock: str = ""

    @property
    def new(self) -> int:
        """Bytes of the layers that this build made, as stored."""
        return sum(m.layer.descriptor.size for m in self.layers if not m.reused)

    @property
    def reused(self) -> int:
        """Bytes of those that an earlier one had made."""
        return sum(m.layer.descriptor.size for m in self.layers if m.reused)

    @property
    def below(self) -> int:
        """Bytes of the base's layers, as stored."""
        return sum(descriptor.size for descriptor in self.base.layers)

    @property
    def unpacked(self) -> int:
        """Bytes of all files upon the base."""
        return sum(m.layer.unpacked for m in self.layers)


def build_image(package: Package, base: Base, supplies: Supplies, shelf: Shelf) -> Built:
    """Base, its bytecode, wheels, runtime, weights, code, package, evidence: from what changes least; each one layer
    or several.
    """
    wheels, parts = supplies.wheels, (*content.parts(package), *supplies.evidence)
    room = MOST - len(base.layers) - len(supplies.beneath) - len(parts) - 5
    makers = _library_layers(base, shelf) + _wheel_layers(places.ENVIRONMENT, base, wheels.runtime, shelf, room)
    if wheels.script is not None:
        makers += _wheel_layers(places.SCRIPT_ENVIRONMENT, base, wheels.script, shelf, room - len(makers))
    makers += [partial(_part_layer, part, shelf) for part in supplies.beneath]
    makers.append(partial(_runtime_layer, base, wheels, shelf))
    makers += [partial(_part_layer, part, shelf) for part in parts]
    if len(base.layers) + len(makers) > MOST:
        raise UsageError(f"{len(base.layers) + len(makers)} layers; an image has {MOST} at most: use a base with fewer")
    made = _all(makers)
    descriptors = (*base.layers, *(m.layer.descriptor for m in made))
    diff_ids = (*base.diff_ids, *(m.layer.diff_id for m in made))
    history = (*(f"base {base.name}" for _ in base.layers), *(m.layer.title for m in made))
    script = places.ENVIRONMENT if wheels.script is None else places.SCRIPT_ENVIRONMENT
    config = image_config(base, package.manifest, content.folder(package), diff_ids, history, created(), script)
    image = write_manifest(shelf.store, config, descriptors, {"org.opencontainers.image.title": package.name})
    return Built(image, base, tuple(made), supplies.lock)


def _all(makers: Sequence[Maker]) -> list[Made]:
    """Make them at once, since compressing lets other threads run; the first that fails ends what has not begun."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gantline-layer") as pool:
        try:
            return [future.result() for future in [pool.submit(maker) for maker in makers]]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _library_layers(base: Base, shelf: Shelf) -> list[Maker]:
    """One, where the base's Python would compile at each start; it depends on the base alone."""
    sources = library.uncompiled(base)
    key = [library.VERSION, list(base.diff_ids), *sources]
    title = f"{library.TITLE} {base.python[0]}.{base.python[1]}"
    entries = partial(library.entries, base, sources)
    return [lambda: Made(*shelf.layer(key, title, entries))] if sources else []


def _wheel_layers(at: str, base: Base, wheels: Sequence[Wheel], shelf: Shelf, room: int) -> list[Maker]:
    """The heaviest wheels one by one, as many as there is room for; the rest together."""
    site = places.site(at, base.python)
    sizes = {wheel: wheel.path.stat().st_size for wheel in wheels}
    heavy = sorted((w for w in wheels if sizes[w] >= BIG), key=lambda w: (-sizes[w], w.distribution))[: max(0, room)]
    groups = [[w] for w in sorted(heavy, key=lambda w: w.distribution)]
    if rest := sorted((w for w in wheels if w not in heavy), key=lambda w: w.distribution):
        groups.append(rest)
    return [partial(_group_layer, group, site, base, shelf) for group in groups]


def _group_layer(group: list[Wheel], site: str, base: Base, shelf: Shelf) -> Made:
    title = ("wheel " if len(group) == 1 else "wheels ") + ", ".join(f"{w.distribution} {w.version}" for w in group)
    key = [wheel.key(site, base.python) for wheel in group]

    def together() -> Iterable[Entry]:
        """Of wheels that bring the same file (`README.md`, a package `tests`) the last has it: pip keeps one, too."""
        return {e.path: e for wheel in group for e in wheel.entries(site, base.python)}.values()

    return Made(*shelf.layer(key, title, together))


def _runtime_layer(base: Base, wheels: Wheels, shelf: Shelf) -> Made:
    entries = runtime.entries() + runtime.environment(places.ENVIRONMENT, base.python, base.interpreter)
    if wheels.script is not None:
        at = places.SCRIPT_ENVIRONMENT  # the host gets the library by its path, as any other environment does
        entries += runtime.environment(at, base.python, base.interpreter, with_library=False)
    key = runtime.key(entries, base.python)
    return Made(*shelf.layer(key, f"gantline {runtime.version()}", lambda: runtime.with_bytecode(entries, base.python)))


def _part_layer(part: Part, shelf: Shelf) -> Made:
    return Made(*shelf.layer(part.key, part.title, lambda: part.entries, part.compress))


def created() -> str:
    """SOURCE_DATE_EPOCH as RFC 3339, else the epoch: when it was built does not change what it is."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "0")
    try:
        moment = datetime.datetime.fromtimestamp(int(given), datetime.UTC)
    except (ValueError, OverflowError, OSError) as e:
        raise UsageError(f"SOURCE_DATE_EPOCH={given!r:.40}: expected seconds since 1970") from e
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
