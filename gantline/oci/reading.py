"""Reading: images from archives and layouts of any tool (docker save, podman save, skopeo) into a store."""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..blobs import canonical_json
from ..errors import BadArtefact, UsageError, VerificationFailed
from .descriptor import (
    CONFIG,
    INDEXES,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    MANIFESTS,
    REF_NAME,
    Descriptor,
)
from .graph import Graph
from .image import Image
from .platforms import Platform
from .reference import whole
from .referrers import attach
from .store import DOCUMENT, LAYOUT, Store, json_object

_CONTAINERD_NAME = "io.containerd.image.name"
_PIECE = 1 << 20
_MAGIC = ((b"\x1f\x8b", LAYER_GZIP), (b"\x28\xb5\x2f\xfd", LAYER_ZSTD))
_STAND_IN = re.compile(r"sha256-[0-9a-f]{64}")  # the name of a list of what is about a digest
_DEEPEST = 8  # indexes in one another, or links to links
_BLOBS = "blobs/sha256/"
_EXPECTED = "expected what `docker save` writes, or an OCI layout"


@dataclass(frozen=True, slots=True)
class Found:
    """One image of an archive: its names there, of which there may be none, and what they stand for in the store."""

    names: tuple[str, ...]
    descriptor: Descriptor


def is_archive(path: Path) -> bool:
    """Whether a path is something to read images from: a layout directory, or a file."""
    return (path / LAYOUT).is_file() if path.is_dir() else path.is_file()


def read(path: Path, store: Store) -> list[Found]:
    """Copy all images of an archive or a layout into a store, and what is said there about them (signatures).

    BadArtefact, VerificationFailed; UsageError for no file.
    Blobs that came before an error stay, without a name; each is whole.
    """
    if path.is_dir():
        return _read_layout(path, store)
    try:
        with tarfile.open(path, "r|*") as tar:
            return _Archive(path, store).read(tar)
    except OSError as e:
        if isinstance(e, FileNotFoundError | PermissionError | IsADirectoryError):
            raise UsageError(f"{path}: cannot be read: {e.strerror}") from e
        raise
    except (tarfile.TarError, EOFError) as e:
        raise BadArtefact(f"{path}: not a whole tar archive ({e}); {_EXPECTED}") from e


def only(found: list[Found], path: Path, wanted: str = "") -> Found:
    """The one image that is meant; UsageError lists what there is."""
    chosen = [f for f in found if wanted in f.names] if wanted else found
    if len(chosen) == 1 or (chosen and len({f.descriptor.digest for f in chosen}) == 1):
        return chosen[0]
    named = ", ".join(name for f in found for name in f.names) or "images without names"
    if wanted:
        raise UsageError(f"{path}: has no image {wanted!r}; there is {named}")
    raise UsageError(
        f"{path}: has {len(found)} images ({named}); give an archive of one, or push one with --image NAME"
    )


def _read_layout(path: Path, store: Store) -> list[Found]:
    try:
        index = (path / "index.json").read_bytes()
    except OSError as e:
        raise BadArtefact(f"{path}: not an OCI image layout: index.json: {e.strerror}") from e

    def get(descriptor: Descriptor) -> None:
        if store.has(descriptor.digest):
            return
        at = path / _BLOBS / descriptor.digest.removeprefix("sha256:")
        try:
            with at.open("rb") as f, _kept(store, descriptor.digest, at) as out:
                _copy(f, out)
        except FileNotFoundError as e:
            raise BadArtefact(f"{path}: has no blob {descriptor.digest}") from e

    return _found(json_object(index, str(path / "index.json")), store, str(path), get)


def _found(index: dict[str, Any], store: Store, where: str, get: Any) -> list[Found]:
    """What an index.json lists, with all that is below it taken into the store by `get`."""
    names: dict[str, list[str]] = {}
    descriptors: dict[str, Descriptor] = {}
    said: list[tuple[str, Descriptor]] = []
    for tree in index.get("manifests") or []:
        listed = Descriptor.from_json(tree, f"{where}: index.json")
        if listed.media_type not in (*INDEXES, *MANIFESTS):
            raise BadArtefact(f"{where}: index.json lists {listed.media_type!r:.100}, which is no image")
        _take(listed, store, where, get, 0)
        notes = listed.annotations
        name = _name(notes)
        if about := _about(listed, name, store, where):
            said += about
            continue
        names.setdefault(listed.digest, []).extend([name] if name else [])
        kept = {k: v for k, v in notes.items() if k not in (_CONTAINERD_NAME, REF_NAME)}
        descriptors[listed.digest] = Descriptor(
            listed.media_type, listed.digest, listed.size, listed.platform, listed.artifact_type, kept
        )
    if not descriptors:
        raise BadArtefact(f"{where}: index.json lists no image")
    held = {digest for one in descriptors.values() for digest in Graph.of(store, one).manifests}
    held.update(referrer.digest for _, referrer in said)
    for subject, referrer in said:
        if subject in held:  # of what is elsewhere an archive has nothing to say
            attach(store, subject, referrer)
    return [Found(tuple(dict.fromkeys(names[d])), descriptors[d]) for d in descriptors]


def _name(notes: Mapping[str, str]) -> str:
    """containerd's, which is whole where the other may be a tag alone; as it was given where both mean the same."""
    given, full = notes.get(REF_NAME, ""), notes.get(_CONTAINERD_NAME, "")
    return given if not full or whole(given) == full else full


def _about(listed: Descriptor, name: str, store: Store, where: str) -> list[tuple[str, Descriptor]]:
    """Subjects and referrers, of a manifest about another or of a list of such as a store keeps; of an image none."""
    if listed.media_type in INDEXES:
        if not _STAND_IN.fullmatch(name):
            return []
        found = store.read_json(listed).get("manifests") or []
        return [(name.replace("-", ":"), Descriptor.from_json(tree, where)) for tree in found]
    subject = store.read_json(listed).get("subject")
    return [(Descriptor.from_json(subject, where).digest, listed)] if subject is not None else []


def _take(descriptor: Descriptor, store: Store, where: str, get: Any, depth: int) -> None:
    get(descriptor)
    if depth > _DEEPEST:
        raise BadArtefact(f"{where}: indexes in indexes, {depth} deep")
    tree = store.read_json(descriptor)
    if descriptor.media_type in INDEXES:
        for child in tree.get("manifests") or []:
            _take(Descriptor.from_json(child, where), store, where, get, depth + 1)
        return
    for part in [tree.get("config"), *(tree.get("layers") or [])]:
        get(Descriptor.from_json(part, where))


@dataclass(slots=True)
class _Archive:
    """One pass over a tar: what is a blob goes into the store at once, documents are kept until all has been seen."""

    path: Path
    store: Store
    documents: dict[str, bytes] = field(default_factory=dict)  # by path
    blobs: dict[str, Descriptor] = field(default_factory=dict)  # by path: what files have become
    links: dict[str, str] = field(default_factory=dict)

    def read(self, tar: tarfile.TarFile) -> list[Found]:
        for member in tar:
            name = posixpath.normpath(member.name)
            if member.issym() or member.islnk():
                base = posixpath.dirname(name) if member.issym() else ""
                self.links[name] = posixpath.normpath(posixpath.join(base, member.linkname))
            elif member.isfile():
                file = tar.extractfile(member)
                assert file is not None
                self._file(name, member.size, file)
        if "index.json" in self.documents:
            tree = json_object(self.documents["index.json"], f"{self.path}: index.json")
            return _found(tree, self.store, str(self.path), self._is_there)
        if "manifest.json" in self.documents:
            return self._docker(self.documents["manifest.json"])
        raise BadArtefact(f"{self.path}: neither index.json nor manifest.json; {_EXPECTED}")

    def _file(self, name: str, size: int, file: IO[bytes]) -> None:
        if "/" not in name and (name.endswith(".json") or name in (LAYOUT, "repositories")):
            if size > DOCUMENT:
                raise BadArtefact(f"{self.path}: {name} of {size} bytes is too long")
            self.documents[name] = file.read()
            return
        digest = f"sha256:{name.removeprefix(_BLOBS)}" if name.startswith(_BLOBS) else ""
        if digest and self.store.has(digest):
            self.blobs[name] = Descriptor(_sniff(self.store, digest), digest, size)
            return
        if name.endswith(("/VERSION", "/json")):  # of docker save before 1.10
            return
        with _kept(self.store, digest, self.path) as out:
            _copy(file, out)
        self.blobs[name] = Descriptor(_sniff(self.store, out.digest), out.digest, out.size)

    def _is_there(self, descriptor: Descriptor) -> None:
        if not self.store.has(descriptor.digest):
            raise BadArtefact(f"{self.path}: has no blob {descriptor.digest}")

    def _docker(self, data: bytes) -> list[Found]:
        """manifest.json as `docker save` and `podman save` write it: paths of configs and layers, names of images."""
        where = f"{self.path}: manifest.json"
        wrapped = json_object(b'{"images":' + data + b"}", where)["images"]
        if not isinstance(wrapped, list) or not all(isinstance(image, dict) for image in wrapped) or not wrapped:
            raise BadArtefact(f"{where}: lists no images")
        found = []
        for image in wrapped:
            config = self._document(str(image.get("Config")))
            layers = tuple(self._layer(str(at)) for at in image.get("Layers") or [])
            kept = self._manifest(config, layers)
            names = image.get("RepoTags") or []
            found.append(Found(tuple(map(str, names)), kept))
        return found

    def _manifest(self, config: bytes, layers: tuple[Descriptor, ...]) -> Descriptor:
        described = self.store.add(config, CONFIG)
        tree = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        kept = self.store.add(canonical_json(tree), MANIFEST)
        image = Image.open(self.store, kept)
        for layer, diff_id in zip(layers, image.diff_ids, strict=True):
            if layer.media_type == LAYER and layer.digest != diff_id:
                raise VerificationFailed(f"{self.path}: layer {layer.digest}, and its config says {diff_id}")
        platform = Platform.from_json(image.config, f"{self.path}: config")
        return Descriptor(kept.media_type, kept.digest, kept.size, platform)

    def _document(self, at: str) -> bytes:
        if at in self.documents:
            return self.documents[at]
        if (kept := self._followed(at)) is None:
            raise BadArtefact(f"{self.path}: has no file {at!r:.100}, which manifest.json names")
        return self.store.read(kept)

    def _layer(self, at: str) -> Descriptor:
        kept = self._followed(at)
        if kept is None:
            raise BadArtefact(f"{self.path}: has no file {at!r:.100}, which manifest.json names")
        return kept

    def _followed(self, at: str) -> Descriptor | None:
        for _ in range(_DEEPEST):
            if at in self.blobs:
                return self.blobs[at]
            if at not in self.links:
                return None
            at = self.links[at]
        return None


def _sniff(store: Store, digest: str) -> str:
    with store.path(digest).open("rb") as f:
        head = f.read(4)
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), LAYER)


@contextmanager
def _kept(store: Store, digest: str, where: Path) -> Iterator[Any]:
    """Receive a blob; what is wrong with it is said with where it came from."""
    try:
        with store.receive(digest) as out:
            yield out
    except VerificationFailed as e:
        raise VerificationFailed(f"{where}: {e.message}") from e


def _copy(source: IO[bytes], out: Any) -> None:
    while piece := source.read(_PIECE):
        out.write(piece)
