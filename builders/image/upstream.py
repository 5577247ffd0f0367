"""Upstream: a base that is an image already: in an archive, in a layout or in a registry; taken into the store once."""

from __future__ import annotations

import re
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gantline.errors import (
    BadArtefact,
    Denied,
    GantlineError,
    NotFound,
    Unavailable,
    Unreachable,
    Unsupported,
    UsageError,
)
from gantline.oci import reading
from gantline.oci.descriptor import LAYERS, Descriptor
from gantline.oci.graph import is_kept
from gantline.oci.image import Image, choose
from gantline.oci.platforms import Platform
from gantline.oci.pull import pull
from gantline.oci.reference import Reference, has_host
from gantline.oci.remote import Remote
from gantline.oci.store import LAYOUT, Store
from gantline.oci.transport import Transport
from gantline.oci.wiring import Wiring

from .bootstrap import advice
from .memory import Memory
from .packed import plain
from .pins import Pins

# how the first member of an image's archive is called, by whatever tool wrote it; none is at the root of a file system
_OF_AN_IMAGE = re.compile(
    r"(blobs(/.*)?|oci-layout|(index|manifest|version)(\.json)?|repositories|[0-9a-f]{64}([./].*)?)"
)


@dataclass(frozen=True, slots=True)
class Upstream:
    """The image of one platform in the store; `notes` say which one it is where that was not said.

    `pulled`: its name in the registry that has it, by the digest of its own manifest.
    """

    image: Image
    notes: tuple[str, ...] = ()
    pulled: str = ""


def is_image(path: Path) -> bool:
    """Whether a file is an image's archive, and not a root file system; what is neither is for its reader to refuse."""
    if path.is_dir():
        return (path / LAYOUT).is_file()
    try:
        with path.open("rb") as f, plain(f, str(path)) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            names = (member.name.removeprefix("./").strip("/") for member in tar)
            first = next((name for name in names if name not in ("", ".")), "")
        return bool(_OF_AN_IMAGE.fullmatch(first))
    except (tarfile.TarError, BadArtefact):
        return False


def from_archive(path: Path, platform: Platform, store: Store, memory: Memory) -> Upstream:
    """The image in an archive, or in a layout directory, that is for a platform."""
    at = path / "index.json" if path.is_dir() else path
    stat = at.stat()
    key = ["archive", str(at.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, str(platform)]
    if (image := _recalled(memory.recall(key), store)) is not None:
        return Upstream(image)
    image = _of(store, _only(store, reading.read(path, store), platform, path), platform, f"base {path}")
    memory.keep(key, image.descriptor.to_json())
    return Upstream(image)


def from_registry(
    name: str,
    platform: Platform,
    store: Store,
    memory: Memory,
    pins: Pins,
    python: tuple[int, int],
    anew: bool = False,
    wiring: Wiring | None = None,
) -> Upstream:
    """The image of a name in a registry that is for a platform.

    By digest: the one that is said; or that the tag had when it was first asked for, unless `anew` asks again. What
    is in the store is not asked for. Errors say how to make a base without a registry.
    """
    reference = Reference.parse(name)
    digest = reference.digest or ("" if anew else pins.find(str(reference)))
    if digest and (image := _recalled(memory.recall(["registry", digest, str(platform)]), store)) is not None:
        return Upstream(image, _pinned(reference, digest, pins), f"{reference.name}@{image.descriptor.digest}")
    try:
        with Transport.of(reference, wiring) as transport:
            remote = Remote.of(transport, reference)
            if not digest:
                digest = remote.manifest(reference.target)[0].digest
            kept = f"base/{reference.repository}/{platform}:{digest.removeprefix('sha256:')[:12]}"
            descriptor = pull(remote, reference.at(digest), store, platform, name=kept).descriptor
    except (Unreachable, Denied, NotFound, Unavailable) as e:
        raise _without(e, name, python) from e
    image = _of(store, choose(store, descriptor, platform, name), platform, f"base {name}")
    if not reference.digest:
        pins.set(str(reference), digest)
    memory.keep(["registry", digest, str(platform)], image.descriptor.to_json())
    return Upstream(image, _pinned(reference, digest, pins), f"{reference.name}@{image.descriptor.digest}")


def _only(store: Store, found: list[reading.Found], platform: Platform, path: Path) -> Descriptor:
    """The manifest for a platform; NotFound, or UsageError where several images are."""
    if len(found) == 1:
        return choose(store, found[0].descriptor, platform, str(path))
    fitting = {}
    for one in found:
        with suppress(NotFound):
            chosen = choose(store, one.descriptor, platform, str(path))
            if Image.open(store, chosen).platform.serves(platform):
                fitting[chosen.digest] = chosen
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    raise UsageError(f"base {path}: has {len(found)} images, {len(fitting)} of them for {platform}; give one with one")


def _without(error: GantlineError, name: str, python: tuple[int, int]) -> GantlineError:
    here = "" if has_host(name) else "no such file, and "
    message = f"base {name}: {here}{error}; {advice(python)}"
    return Denied(message, error.known) if isinstance(error, Denied) else type(error)(message)


def _pinned(reference: Reference, digest: str, pins: Pins) -> tuple[str, ...]:
    if reference.digest:
        return ()
    return (f"base {reference} is pinned at {digest}, in {pins.path}: remove that line to follow the tag again",)


def _recalled(tree: object, store: Store) -> Image | None:
    """What was taken into the store before, if all of it is still there."""
    if tree is None:
        return None
    try:
        image = Image.open(store, Descriptor.from_json(tree, "base"))
    except (NotFound, BadArtefact):
        return None
    return image if all(store.has(layer.digest) for layer in image.layers) else None


def _of(store: Store, descriptor: Descriptor, platform: Platform, where: str) -> Image:
    image = Image.open(store, descriptor)
    if not image.platform.serves(platform):
        raise BadArtefact(f"{where}: is for {image.platform}, and the image for {platform}: give a base for each")
    strange = [layer.media_type for layer in image.layers if is_kept(layer) and layer.media_type not in LAYERS]
    if strange:
        raise Unsupported(f"{where}: a layer of type {strange[0]!r:.100}: neither a plain tar nor one by gzip or zstd")
    foreign = [layer.media_type for layer in image.layers if not store.has(layer.digest)]
    if foreign:
        raise UsageError(
            f"{where}: a layer of it is kept elsewhere ({foreign[0]}); use a base that registries hold whole"
        )
    return image
