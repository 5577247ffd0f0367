"""Record: what an image that Gantline built says of itself: its lock, its bill of materials, its package's manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gantline.errors import BadArtefact
from gantline.manifest import Manifest
from gantline.oci.image import Image
from gantline.oci.store import Store, json_object
from gantline.packages import MANIFEST

from ..image import places
from ..lock.pylock import Lock
from .contents import FILE, Contents, files

BASE = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
_LONGEST = 64 << 20
_SMALL = 1 << 20  # bytes of a layer, as stored


@dataclass(frozen=True, slots=True)
class Record:
    """`bill`: its software; `folder`: where the package lies, below the root; `below`: how many layers the base has."""

    lock: Lock
    bill: dict[str, Any]
    manifest: Manifest
    folder: str
    base: str
    below: int

    @property
    def debs(self) -> dict[str, str]:
        """Debian's packages, of the base and added to it: versions by name."""
        found = (c for c in self._components() if str(c.get("purl", "")).startswith("pkg:deb/"))
        return {str(c.get("name")): str(c.get("version")) for c in found}

    @property
    def python(self) -> str:
        """The version of a Python that is in none of those; empty if it is."""
        return next((str(c.get("version")) for c in self._components() if c.get("bom-ref") == "python"), "")

    @property
    def runtime(self) -> str:
        """The version of Gantline in it."""
        return next((str(c.get("version")) for c in self._components() if c.get("bom-ref") == "gantline"), "")

    def _components(self) -> Iterator[dict[str, Any]]:
        """Of the bill; an image of strangers may have anything in its place."""
        found = self.bill.get("components")
        return (one for one in found if isinstance(one, dict)) if isinstance(found, list) else iter(())

    def role(self, path: str) -> str:
        """What a file is to its package: model, code, golden, or just a file of it."""
        m = self.manifest
        if path == m.model or (m.script and m.script.models and path.startswith(m.script.models + "/")):
            return "model"
        if m.script and m.script.code and path.startswith(m.script.code + "/"):
            return "code"
        return "golden" if any(path in (g.request, g.reply) for g in m.golden) else "package"

    @classmethod
    def of(cls, store: Store, image: Image, ref: str) -> Record:
        """BadArtefact for an image that another program made, or that lacks a part of this."""
        found = cls.read(store, image)
        if found is None:
            raise BadArtefact(f"{ref}: not an image that `gantline build` made: it has no {places.EVIDENCE}")
        return found

    @classmethod
    def read(cls, store: Store, image: Image) -> Record | None:
        """None for an image that does not say to be of Gantline. BadArtefact where it does, and lacks a part."""
        if not image.model:
            return None
        folder = f"{places.MODELS}/{image.model}"
        lock, bill = f"{places.EVIDENCE}/pylock.toml", f"{places.EVIDENCE}/software.cdx.json"
        manifest = f"{folder}/{MANIFEST}"
        texts = _read(store, image, {lock, bill, manifest})
        base = image.labels.get(BASE, "")
        told = told_below(image, base)
        return cls(
            Lock.from_bytes(texts[lock], lock),
            json_object(texts[bill], bill),
            Manifest.from_bytes(texts[manifest], manifest),
            folder,
            base,
            told or _seen_below(store, image),
        )


def told_below(image: Image, base: str) -> int:
    """How many layers the history gives to the base; 0 where an engine wrote it, as of a Dockerfile."""
    lines = [h for h in image.config.get("history") or [] if isinstance(h, dict)]
    return sum(h.get("created_by") == f"base {base}" for h in lines)


def _seen_below(store: Store, image: Image) -> int:
    """How many layers come before the first of ours: it has a part of us, or bytecode alone, of the base's Python."""
    contents = Contents(store, image)
    first = min((held.layer for _, held in contents.below(places.ROOT)), default=len(image.layers))
    others = {held.layer for path, held in contents.paths.items() if held.kind == FILE and not path.endswith(".pyc")}
    while first > 1 and first - 1 not in others:
        first -= 1
    return first


def _read(store: Store, image: Image, wanted: set[str]) -> dict[str, bytes]:
    """Texts that lie in small layers, which are read first, and of others the topmost, so that few are read."""
    texts: dict[str, bytes] = {}
    for layer in sorted(reversed(range(len(image.layers))), key=lambda n: image.layers[n].size > _SMALL):
        missing = wanted - texts.keys()
        if not missing:
            break
        texts |= {path: file.read(_LONGEST) for path, file, _ in files(store, image, layer, missing)}
    if missing := wanted - texts.keys():
        raise BadArtefact(
            f"image {image.id}: has no /{min(missing)}: another Gantline built it, and this one puts that into every "
            "image; build it anew"
        )
    return texts
