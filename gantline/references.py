"""REFs: what the verbs take as their artefact, resolved to a path on this machine by one function."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BadArtefact

if TYPE_CHECKING:
    from .oci.wiring import Wiring

REGISTRY = "registry://"
OCI = "oci://"


def is_registered(ref: str) -> bool:
    """Whether a REF names a version of a registry."""
    return ref.startswith(REGISTRY)


def local(ref: str, registry: str = "", wiring: Wiring | None = None) -> Path:
    """Where a REF's package lies; one of a registry is brought here, hashed, and in use until this process ends.

    `oci://HOST/REPOSITORY:TAG` is an artifact that `gantline push` made of a package; `wiring`: how that host is spoken
    to. `registry`: a directory or URL; empty: GANTLINE_REGISTRY, or this user's own. NotFound says what there is.
    """
    if ref.startswith(OCI):
        return _pulled(ref, wiring)
    if not is_registered(ref):
        return Path(ref)
    from .registry.registry import Registry

    with Registry.open(registry or None) as opened:
        return opened.path(ref)


def _pulled(ref: str, wiring: Wiring | None) -> Path:
    """The directory of a package in a registry of images: one for each digest, checked when it is made, and in use."""
    from .oci.artifact import is_package, write_package
    from .oci.lease import in_use
    from .oci.obtain import obtain
    from .oci.reference import Reference
    from .oci.store import Store
    from .registry.checkout import held

    with in_use(Store.of_user()) as store:
        found = obtain(Reference.parse(ref), store, wiring)
        if not is_package(store, found):
            raise BadArtefact(f"{ref}: an image, not a package; `gantline pull` gets it, and an engine runs it")
        return held(found.digest, lambda target: write_package(store, found, target))
