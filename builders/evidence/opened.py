"""Opened: the image that a REF means: by name, digest or image ID in the store, an archive, a layout, a registry's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gantline.errors import BadArtefact, GantlineError, NotFound, UsageError
from gantline.oci.artifact import is_package
from gantline.oci.descriptor import INDEXES, MANIFESTS, Descriptor
from gantline.oci.image import Image, choose, manifests
from gantline.oci.obtain import obtain
from gantline.oci.platforms import Platform
from gantline.oci.reading import is_archive, only, read
from gantline.oci.reference import Reference, has_host
from gantline.oci.store import DOCUMENT, Store
from gantline.oci.wiring import Wiring
from gantline.packages import MANIFEST

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def open_image(ref: str, store: Store, platform: Platform | None = None, wiring: Wiring | None = None) -> Image:
    """The image, brought into the store if need be; of several, the one for `platform`, else for this machine.

    NotFound for what is nowhere; BadArtefact for what is no image; others as of `obtain`.
    """
    found = described(ref, store, wiring)
    if is_package(store, found):
        raise BadArtefact(f"{ref}: a package, not an image; make one with `gantline build`")
    image = Image.open(store, choose(store, found, platform or Platform.of_this_machine(), ref))
    if platform is not None and not image.platform.serves(platform):
        raise NotFound(f"{ref}: is for {image.platform}, not for {platform}")
    return image


def described(ref: str, store: Store, wiring: Wiring | None = None, image: str = "") -> Descriptor:
    """The manifest or index that a REF stands for; an image ID stands for its manifest.

    A registry is asked for `oci://HOST/...`, and for the name of a host that no pull has left in the store. `image`
    chooses one of an archive that holds several.
    """
    if _DIGEST.fullmatch(ref):
        return _by_digest(ref, store)
    path = Path(ref)
    if (found := store.find(ref)) is not None:
        return found
    if is_archive(path):
        return only(read(path, store), path, image).descriptor
    if (path / MANIFEST).is_file():
        raise BadArtefact(f"{ref}: a package, not an image; make one with `gantline build`")
    if has_host(ref):
        return obtain(Reference.parse(ref), store, wiring)
    spelled = [f"{ref}:latest"]
    with suppress(UsageError):  # `python:3.12`, which was pulled as docker.io/library/python:3.12
        spelled.append(str(Reference.parse(ref)))
    for name in spelled:
        if (found := store.find(name)) is not None:
            return found
    raise NotFound(
        f"{ref}: no such name in {store.root}, nor a package, an archive or a layout; see `gantline build`, or name a "
        "registry's: oci://HOST/..."
    )


def _by_digest(digest: str, store: Store) -> Descriptor:
    for one in _kept(store):
        if one.digest == digest:
            return one
        if one.media_type in MANIFESTS and _id(store, one) == digest:
            return one
    path = store.path(digest)  # of an earlier build, which has lost its name
    if path.is_file() and path.stat().st_size <= DOCUMENT:
        tree = store.read_json(Descriptor("", digest, path.stat().st_size))
        if (kind := str(tree.get("mediaType"))) in (*INDEXES, *MANIFESTS):
            return Descriptor(kind, digest, path.stat().st_size)
    raise NotFound(f"{digest}: neither an image nor an image ID in {store.root}; see `gantline pull`")


def _kept(store: Store) -> Iterator[Descriptor]:
    for named in store.listed():
        yield named
        if named.media_type in INDEXES:
            yield from manifests(store, named)


def _id(store: Store, manifest: Descriptor) -> str:
    try:
        config = store.read_json(manifest).get("config")
    except GantlineError:
        return ""  # damaged, or gone: not the one that is looked for
    return str(config.get("digest")) if isinstance(config, dict) else ""
