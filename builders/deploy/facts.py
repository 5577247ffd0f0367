"""Facts: what this user's store knows of an image that a platform is told to run."""

from __future__ import annotations

from dataclasses import dataclass

from gantline.errors import GantlineError
from gantline.oci.image import Image, choose
from gantline.oci.platforms import Platform
from gantline.oci.store import Store


@dataclass(frozen=True, slots=True)
class Facts:
    """Empty where the store has no such image."""

    model: str = ""
    image_id: str = ""
    package: str = ""


def facts(name: str, store: Store) -> Facts:
    """Of an image by its name, or by the digest at the end of it."""
    digest = name.partition("@")[2]
    found = store.find(name)
    if digest:
        found = next((d for d in store.names().values() if d.digest == digest), None)
    if found is None:
        return Facts()
    try:
        image = Image.open(store, choose(store, found, Platform.of_this_machine(), name))
    except GantlineError:  # one for other platforms, say
        return Facts()
    return Facts(image.model, image.id, image.package)
