"""ImageName: what a platform is told to run, by digest wherever that is known."""

from __future__ import annotations

from pathlib import Path

from gantline.errors import NotFound, UsageError
from gantline.oci.reference import Reference, has_host
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from gantline.oci.wiring import Wiring
from gantline.packages import MANIFEST
from gantline.references import is_registered

from .description import ImageName


def find(ref: str, store: Store, wiring: Wiring, by_tag: bool) -> ImageName:
    """An image in a registry, pinned to what its tag stands for there at this moment.

    `by_tag`: as it is called, for platforms that have it already. UsageError for one in no registry, NotFound for one
    that its registry does not have; errors of the network as of `gantline pull`.
    """
    if is_registered(ref) or (Path(ref) / MANIFEST).is_file():
        raise UsageError(f"{ref}: a package, not an image: `gantline build {ref} --tag NAME:TAG`, and push that")
    if by_tag:
        Reference.parse(ref)
        return ImageName(ref.removeprefix("oci://"), True)
    if not has_host(ref):
        here = "it is in this user's store; " if store.find(ref) is not None else ""
        raise UsageError(
            f"{ref}: names no registry: {here}`gantline push {ref} HOST/{ref}` and deploy that, or say --by-tag where "
            "the platform has the image already"
        )
    reference = Reference.parse(ref)
    if reference.digest:
        return ImageName(f"{reference.name}@{reference.digest}")
    with Transport.of(reference, wiring) as transport:
        found = Remote.of(transport, reference).find(reference.tag)
    if found is None:
        raise NotFound(f"{ref}: its registry has no such tag; push it: gantline push SRC {ref}")
    return ImageName(f"{reference.name}@{found.digest}")
