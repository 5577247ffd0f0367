"""Inventory: what has a name in a store, what kind of thing it is, and what room it takes there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import GantlineError, NotFound
from .artifact import PACKAGE, is_package
from .descriptor import Descriptor
from .graph import Graph
from .image import Image, manifests
from .store import Store

_STAND_IN = re.compile(r"sha256-[0-9a-f]{64}")  # the name of a list of what is about a digest


@dataclass(frozen=True, slots=True)
class Held:
    """One name. `kind`: image, package, artifact, or damaged (a part of it is gone).

    `platforms` and `ids` (image IDs) go together; `package` is the digest of the one inside, if there is one; `size`:
    bytes of all that hangs on it; `alone`: those that nothing else with a name has, which its removal frees.
    """

    name: str
    kind: str
    digest: str
    platforms: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    package: str = ""
    size: int = 0
    alone: int = 0

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "digest": self.digest,
            "platforms": list(self.platforms),
            "ids": list(self.ids),
            "package": self.package,
            "bytes": self.size,
            "bytes_alone": self.alone,
        }


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that has a name, by name. `size`: bytes of it all, what several share once."""

    held: tuple[Held, ...]
    size: int

    @classmethod
    def of(cls, store: Store) -> Inventory:
        """Read it; lists of signatures and the like are not shown, and go with what they are about."""
        named = {n: d for n, d in store.names().items() if not _STAND_IN.fullmatch(n)}
        blobs = {digest: _blobs(store, d) for digest, d in {d.digest: d for d in named.values()}.items()}
        users = Counter(blob for below in blobs.values() for blob in below)
        held = [_held(store, name, d, blobs[d.digest], users) for name, d in sorted(named.items())]
        return cls(tuple(held), sum({b: n for below in blobs.values() for b, n in below.items()}.values()))

    def get(self, name: str) -> Held:
        """The one of a name; NotFound says which there are."""
        for one in self.held:
            if one.name == name:
                return one
        there = ", ".join(one.name for one in self.held[:8]) + (", ..." if len(self.held) > 8 else "")
        raise NotFound(f"{name}: no such name in the store; there is {there or 'nothing'}")

    def others(self, name: str) -> list[str]:
        """What else stands for the same."""
        digest = self.get(name).digest
        return [one.name for one in self.held if one.digest == digest and one.name != name]


def _held(store: Store, name: str, descriptor: Descriptor, blobs: dict[str, int], users: Counter[str]) -> Held:
    size, alone = sum(blobs.values()), sum(n for digest, n in blobs.items() if users[digest] == 1)
    try:
        kind, platforms, ids, package = _kind(store, descriptor) if blobs else ("damaged", (), (), "")
    except GantlineError:  # of another kind than images: a chart, say
        kind, platforms, ids, package = "artifact", (), (), ""
    return Held(name, kind, descriptor.digest, platforms, ids, package, size, alone)


def _kind(store: Store, descriptor: Descriptor) -> tuple[str, tuple[str, ...], tuple[str, ...], str]:
    """Kind, platforms, image IDs, and the package inside."""
    if is_package(store, descriptor):
        notes = store.read_json(descriptor).get("annotations") or {}
        return "package", (), (), str(notes.get(PACKAGE, ""))
    images = [Image.open(store, one) for one in manifests(store, descriptor)]
    package = next((image.package for image in images if image.package), "")
    kind = "image" if images else "artifact"
    return kind, tuple(str(image.platform) for image in images), tuple(image.id for image in images), package


def _blobs(store: Store, descriptor: Descriptor) -> dict[str, int]:
    """Digest and size of all that hangs on it; empty where a part is gone."""
    try:
        graph = Graph.of(store, descriptor)
    except GantlineError:
        return {}
    return _sizes((d for d, _ in graph.manifests.values()), graph.blobs.values())


def _sizes(*groups: Iterable[Descriptor]) -> dict[str, int]:
    return {one.digest: one.size for group in groups for one in group}
