"""Holders: which image or artifact in a store a digest is part of, for digests that the registry has not noted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import GantlineError
from ..oci.artifact import PACKAGE, PATH
from ..oci.descriptor import INDEXES, MANIFESTS, Descriptor
from ..oci.store import Store


@dataclass(frozen=True, slots=True)
class Holder:
    """`digest` is `what` (a layer, say) of a manifest; `package` is the one that the manifest names, if it does."""

    digest: str
    what: str
    manifest: str
    package: str


def holders(store: Store, begin: str) -> list[Holder]:
    """All whose digest begins so, of what the store lists; each once, in the order of the list."""
    found = {(h.digest, h.manifest): h for h in _all(store) if h.digest.startswith(begin)}
    return list(found.values())


def _all(store: Store) -> Iterator[Holder]:
    waiting, seen = list(reversed(store.listed())), set()
    while waiting:
        one = waiting.pop()
        if one.digest in seen or one.media_type not in (*INDEXES, *MANIFESTS):
            continue
        seen.add(one.digest)
        with suppress(GantlineError):  # damaged, or gone: the rest is as it was
            tree = store.read_json(one)
            where = str(store.path(one.digest))
            waiting += [Descriptor.from_json(child, where) for child in _each(tree.get("manifests"))]
            yield from _parts(one, tree, where)


def _parts(one: Descriptor, tree: dict[str, Any], where: str) -> Iterator[Holder]:
    notes = tree.get("annotations")
    package = str(notes.get(PACKAGE, "")) if isinstance(notes, dict) else ""
    kind = "index" if one.media_type in INDEXES else "artifact" if package else "image"
    yield Holder(one.digest, kind, one.digest, package)
    for at, part in enumerate((tree.get("config"), *_each(tree.get("layers")))):
        if part is not None:
            described = Descriptor.from_json(part, where)
            what = described.annotations.get(PATH) or f"layer {at} of {kind} {one.digest}"
            yield Holder(described.digest, what if at else f"config of {kind} {one.digest}", one.digest, package)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
