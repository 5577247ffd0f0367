"""Subject: the image that a REF means on one platform: in the store, in an archive, in a registry, or built first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantline.errors import NotFound
from gantline.oci.artifact import is_package
from gantline.oci.descriptor import Descriptor
from gantline.oci.image import Image, choose
from gantline.oci.obtain import obtain
from gantline.oci.platforms import Platform
from gantline.oci.reading import is_archive, only, read
from gantline.oci.reference import Reference, has_host
from gantline.oci.store import Store
from gantline.oci.wiring import Wiring
from gantline.packages import MANIFEST
from gantline.references import is_registered

# a package's REF and a platform -> the name and the descriptor of an image of it
Build = Callable[[str, Platform], tuple[str, Descriptor]]


@dataclass(frozen=True, slots=True)
class Subject:
    """An image in the store, and the name under which an engine is to have it."""

    name: str
    image: Image
    store: Store


def subject(ref: str, platform: Platform, store: Store, build: Build, wiring: Wiring | None = None) -> Subject:
    """Bring it into the store. A package is built; a name without a tag is that of `latest`."""
    if is_registered(ref) or (Path(ref) / MANIFEST).is_file():
        name, descriptor = build(ref, platform)
    else:
        name, descriptor = _found(ref, store, wiring)
        if is_package(store, descriptor):
            name, descriptor = build(ref, platform)
    image = Image.open(store, choose(store, descriptor, platform, ref))
    return Subject(called(name, image), image, store)


def once_more(tree: Any, name: str, store: Store) -> Subject:
    """The image that a record tells by its manifest, whatever its name stands for now. NotFound where it is no more."""
    descriptor = Descriptor.from_json(tree, f"the record of {name}")
    if not store.has(descriptor.digest):
        raise NotFound(f"image {name}: {descriptor.digest} is not in {store.root} any more; name an image to change to")
    return Subject(name, Image.open(store, descriptor), store)


def _found(ref: str, store: Store, wiring: Wiring | None) -> tuple[str, Descriptor]:
    """A name, and what it stands for. A path comes first, then what is in the store; a registry is asked by host."""
    path = Path(ref)
    if is_archive(path):
        return ref, only(read(path, store), path).descriptor
    if has_host(ref):
        return ref, obtain(Reference.parse(ref), store, wiring)
    for name in (ref, f"{ref}:latest"):
        if (found := store.find(name)) is not None:
            return name, found
    raise NotFound(
        f"{ref}: no such file, nor a name in {store.root}; see `gantline build`, or name a registry's: oci://HOST/..."
    )


def called(name: str, image: Image) -> str:
    """NAME:TAG as engines take it: what it is called, or for an archive its model's name."""
    if Path(name).exists():
        title = image.labels.get("org.opencontainers.image.title", "image").lower()
        return f"{title}:{image.id.removeprefix('sha256:')[:12]}"
    plain = name.removeprefix("oci://").partition("@")[0]
    return plain if ":" in plain.rpartition("/")[2] else f"{plain}:latest"
