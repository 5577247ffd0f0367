"""Glance: what a reference is, by its documents alone: manifest, config, and of a package its own manifest."""

from __future__ import annotations

from pathlib import Path

from ..errors import BadArtefact, NotFound, VerificationFailed
from ..packages import LINEAGE, MANIFEST, Package
from .artifact import PACKAGE, PATH, is_package
from .descriptor import INDEXES, Descriptor
from .image import Image, images_in, serving
from .platforms import Platform
from .pull import fetch
from .reference import Reference
from .remote import Remote
from .store import DOCUMENT, Store, json_object
from .transport import Transport
from .wiring import Wiring

_MANY = 64  # documents of one package that are looked at


def glance(
    reference: Reference, store: Store, platform: Platform | None = None, wiring: Wiring | None = None
) -> Descriptor:
    """The manifest, with its documents in a store that is for this alone: no weights and no layers come.

    Of an index, the image for `platform` (None: this machine's). Errors as of `pull`.
    """
    with Transport.of(reference, wiring) as transport:
        remote = Remote.of(transport, reference)
        found, data = remote.manifest(reference.target)
        store.add(data, found.media_type)
        if found.media_type in INDEXES:
            found = _chosen(remote, found, store, platform or Platform.of_this_machine(), str(reference))
        where = f"{remote.name}@{found.digest}"
        tree = store.read_json(found)
        layers = tree.get("layers") if is_package(store, found) else None
        listed = [Descriptor.from_json(one, where) for one in (layers if isinstance(layers, list) else [])]
        wanted = [one for one in listed if one.annotations.get(PATH) in (MANIFEST, LINEAGE)][:_MANY]
        for one in (Descriptor.from_json(tree.get("config"), where), *wanted):
            _document(remote, one, store, where)
    if platform is not None and not listed:
        _check_platform(store, found, platform, str(reference))
    return found


def package_of(store: Store, descriptor: Descriptor, folder: Path) -> Package:
    """A package's manifest and lineage in a folder, without its files. BadArtefact, VerificationFailed."""
    where = str(store.path(descriptor.digest))
    tree = store.read_json(descriptor)
    for one in (Descriptor.from_json(layer, where) for layer in tree.get("layers") or []):
        if (path := one.annotations.get(PATH)) in (MANIFEST, LINEAGE):
            (folder / str(path)).write_bytes(store.read(one))
    if not (folder / MANIFEST).is_file():
        raise BadArtefact(f"{descriptor.digest}: a model artifact without {MANIFEST}: not a Gantline package")
    package = Package.open(folder)
    said = (tree.get("annotations") or {}).get(PACKAGE, package.digest)
    if said != package.digest:
        raise VerificationFailed(f"{descriptor.digest}: package {package.digest}, and its annotation says {said}")
    return package


def _chosen(remote: Remote, index: Descriptor, store: Store, platform: Platform, name: str) -> Descriptor:
    def read(one: Descriptor) -> dict[str, object]:
        return json_object(remote.manifest(one.digest)[1], name)

    listed = serving(list(images_in(store.read_json(index), name, read)), platform, name)
    found, data = remote.manifest(listed.digest)
    store.add(data, found.media_type)
    return found


def _document(remote: Remote, one: Descriptor, store: Store, where: str) -> None:
    if one.size > DOCUMENT:
        raise BadArtefact(f"{where}: {one.digest} of {one.size} bytes is too long for a document; at most {DOCUMENT}")
    if store.has(one.digest):
        return
    try:
        with store.receive(one.digest) as out:
            fetch(remote, one, out)
    except VerificationFailed as e:
        raise VerificationFailed(f"{where}: {e.message}: the registry, or a proxy, changed it") from e


def _check_platform(store: Store, found: Descriptor, platform: Platform, name: str) -> None:
    image = Image.open(store, found)
    if not image.platform.serves(platform):
        raise NotFound(f"{name}: is for {image.platform}, not for {platform}")
