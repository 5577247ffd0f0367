"""Hanging: the digests of all that hangs on some manifests, as far as a store can tell: what is damaged ends there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from ..errors import GantlineError
from .descriptor import INDEXES, MANIFESTS, Descriptor
from .store import Store


def hanging(store: Store, roots: Iterable[Descriptor]) -> set[str]:
    """The roots' digests, and those of what is below them. Not their subjects: a signature does not keep an image."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        descriptor = waiting.pop()
        if descriptor.digest not in found:
            found.add(descriptor.digest)
            waiting += _below(store, descriptor)
    return found


def tree_of(store: Store, descriptor: Descriptor) -> dict[str, Any]:
    """A manifest or an index; empty for what is neither, damaged or gone."""
    with suppress(GantlineError):
        if descriptor.media_type in (*INDEXES, *MANIFESTS):
            return store.read_json(descriptor)
    return {}


def _below(store: Store, descriptor: Descriptor) -> Iterator[Descriptor]:
    tree = tree_of(store, descriptor)
    where = str(store.path(descriptor.digest))
    for one in (tree.get("config"), *_each(tree.get("layers")), *_each(tree.get("manifests"))):
        with suppress(GantlineError):
            yield Descriptor.from_json(one, where)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
