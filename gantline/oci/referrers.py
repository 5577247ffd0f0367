"""Referrers: manifests about another one (a signature, a provenance), kept in a store beside what they are about.

As in registries without an API for it, an index of the name `sha256-HEX` lists those of the subject `sha256:HEX`.
"""

from __future__ import annotations

from ..blobs import canonical_json
from ..file_lock import only_one
from .descriptor import INDEX, Descriptor
from .graph import Graph
from .remote import stand_in
from .store import Store


def referrers(store: Store, subject: str) -> list[Descriptor]:
    """What a store has about a digest, oldest first."""
    named = store.find(stand_in(subject))
    if named is None:
        return []
    where = str(store.path(named.digest))
    return [Descriptor.from_json(tree, where) for tree in store.read_json(named).get("manifests") or []]


def gather(store: Store, root: Descriptor) -> tuple[Graph, dict[str, list[Descriptor]]]:
    """All below a manifest or an index, with what is about any of it, and about that; and by subject, what is about it.

    NotFound names what the store does not have.
    """
    graph = Graph()
    about: dict[str, list[Descriptor]] = {}
    waiting = [root]
    while waiting:
        for digest in graph.add(store, waiting.pop()):
            if found := referrers(store, digest):
                about[digest] = found
                waiting += found
    return graph, about


def attach(store: Store, subject: str, referrer: Descriptor) -> None:
    """Keep a manifest that the store has as one about `subject`; once, however often it is said."""
    with only_one(store.root / ".referrers.lock"):
        known = referrers(store, subject)
        if referrer.digest in {d.digest for d in known}:
            return
        store.name(stand_in(subject), store.add(listing([*known, referrer]), INDEX))


def listing(found: list[Descriptor]) -> bytes:
    """An index of referrers."""
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [d.to_json() for d in found]})
