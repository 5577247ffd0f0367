"""Graph: a manifest or an index in a store, with everything below it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import BadArtefact, NotFound
from .descriptor import INDEXES, Descriptor
from .store import Store, json_object

DEEPEST = 4  # an index in an index in an index: what nobody makes
# layers that registries do not keep, and name URLs for
_ELSEWHERE = ("nondistributable", ".foreign.")


@dataclass(slots=True)
class Graph:
    """Manifests and indexes, children before parents, each with its bytes; and the blobs under them."""

    manifests: dict[str, tuple[Descriptor, bytes]] = field(default_factory=dict)
    blobs: dict[str, Descriptor] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, descriptor: Descriptor) -> Graph:
        """Read it from a store. NotFound names what is not there."""
        made = cls()
        made.add(store, descriptor)
        return made

    def add(self, store: Store, descriptor: Descriptor, depth: int = 0) -> list[str]:
        """Add what is below another one; the manifests that were not in it yet."""
        if descriptor.digest in self.manifests:
            return []
        where = str(store.path(descriptor.digest))
        data = store.read(descriptor)
        children, blobs = parts(descriptor, data, where)
        if children and depth >= DEEPEST:
            raise BadArtefact(f"{where}: indexes in indexes, {depth} deep")
        added = [digest for child in children for digest in self.add(store, child, depth + 1)]
        for blob in blobs:
            if store.has(blob.digest):
                self.blobs[blob.digest] = blob
            elif is_kept(blob):
                raise NotFound(f"{store.root}: has no blob {blob.digest}, which {descriptor.digest} needs")
        self.manifests[descriptor.digest] = (descriptor, data)
        return [*added, descriptor.digest]

    def blobs_below(self, digest: str) -> dict[str, Descriptor]:
        """The blobs under one of the manifests."""
        descriptor, data = self.manifests[digest]
        children, blobs = parts(descriptor, data, digest)
        found = {blob.digest: blob for blob in blobs if blob.digest in self.blobs}
        for child in children:
            found.update(self.blobs_below(child.digest))
        return found


def parts(descriptor: Descriptor, data: bytes, where: str) -> tuple[list[Descriptor], list[Descriptor]]:
    """What a manifest's bytes name: the manifests (of an index), and the blobs (config and layers)."""
    tree = json_object(data, where)
    if descriptor.media_type in INDEXES:
        return [Descriptor.from_json(child, where) for child in _list(tree.get("manifests"), where)], []
    layers = _list(tree.get("layers"), where)
    return [], [Descriptor.from_json(part, where) for part in [tree.get("config"), *layers]]


def is_kept(blob: Descriptor) -> bool:
    """Whether registries keep such a blob: some of Windows' layers are elsewhere."""
    return not any(word in blob.media_type for word in _ELSEWHERE)


def _list(found: object, where: str) -> list[object]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise BadArtefact(f"{where}: manifests or layers that are no list")
    return found
