"""Obtain: what a REF names, brought into a store: an archive, a layout, a name that is there, or one in a registry."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotFound, Unreachable, UsageError
from .descriptor import Descriptor
from .platforms import Platform
from .progress import Told
from .pull import pull
from .reading import is_archive, only, read
from .reference import Reference, has_host
from .remote import Remote
from .store import Store
from .transport import Transport
from .wiring import Wiring


def obtain(
    ref: str,
    store: Store,
    platform: Platform | None = None,
    wiring: Wiring | None = None,
    told: Told = lambda step: None,
) -> Descriptor:
    """The manifest or index of a path, of a name in the store, or of a registry's image.

    A registry is asked whenever a tag is what names the image there, since tags move; not for a digest that is here.
    `platform` chooses from an index of a registry. Errors as of `read` and `pull`; NotFound for what is none of these.
    """
    path = Path(ref)
    if is_archive(path):
        return only(read(path, store), path).descriptor
    if not has_host(ref) and (found := store.find(ref)) is not None:
        return found
    try:
        reference = Reference.parse(ref)
    except UsageError as e:
        raise NotFound(f"{ref}: neither a file nor a name in {store.root}; and as a {e.message}") from e
    # one name for each platform, so that a build for several asks once for each
    name = f"{reference}#{platform}" if platform else str(reference)
    here = store.find(name)
    if here is not None and reference.digest:
        return here
    try:
        with Transport.of(reference, wiring) as transport:
            found = pull(Remote.of(transport, reference), reference, store, platform, told, name=name).descriptor
    except Unreachable as e:
        if here is None:
            raise
        raise Unreachable(
            f"{e.message}; what it was last is here, as {pinned(reference, here)}: name that to go on without it"
        ) from e
    store.name(f"{pinned(reference, found)}{f'#{platform}' if platform else ''}", found)
    return found


def pinned(reference: Reference, descriptor: Descriptor) -> str:
    """The same by what it is now."""
    return f"{reference.name}@{descriptor.digest}"
