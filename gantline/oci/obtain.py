"""Obtain: what a reference names, in a store; a registry is asked only if it must be."""

from __future__ import annotations

from ..errors import NotFound, Unreachable, VerificationFailed
from .descriptor import Descriptor
from .graph import Graph
from .pull import pull
from .reference import Reference
from .remote import Remote
from .store import Store
from .transport import Transport
from .wiring import Wiring


def obtain(reference: Reference, store: Store, wiring: Wiring | None = None) -> Descriptor:
    """The manifest or index. A tag is asked for each time, since tags move; a digest that is here is not.

    Errors as of `pull`; Unreachable says what there is of it here.
    """
    here = store.find(str(reference))
    if here is not None and reference.digest and _is_whole(store, here):
        return here
    try:
        with Transport.of(reference, wiring) as transport:
            found = pull(Remote.of(transport, reference), reference, store).descriptor
    except Unreachable as e:
        if here is None:
            raise
        pinned = f"{reference.name}@{here.digest}"
        raise Unreachable(f"{e.message}; what it was last is here: name {pinned} to go on without it") from e
    store.name(f"{reference.name}@{found.digest}", found)
    return found


def _is_whole(store: Store, descriptor: Descriptor) -> bool:
    """Whether all below it is there: a blob that was found damaged is not."""
    try:
        Graph.of(store, descriptor)
    except (NotFound, VerificationFailed):
        return False
    return True
