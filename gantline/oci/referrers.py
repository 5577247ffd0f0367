"""Referrers: manifests about another one (a signature, a provenance), kept in a store beside what they are about.

As in registries without an API for it, an index of the name `sha256-HEX` lists those of the subject `sha256:HEX`.
"""

from __future__ import annotations

from ..blobs import canonical_json
from ..file_lock import only_one
from .descriptor import INDEX, Descriptor
from .remote import stand_in
from .store import Store


def referrers(store: Store, subject: str) -> list[Descriptor]:
    """What a store has about a digest, oldest first."""
    named = store.find(stand_in(subject))
    if named is None:
        return []
    where = str(store.path(named.digest))
    return [Descriptor.from_json(tree, where) for tree in store.read_json(named).get("manifests") or []]


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
