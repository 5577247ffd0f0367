"""Built: the record of an image, and of the package that it was built of, which is registered if it was not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..errors import GantlineError
from ..oci.descriptor import Descriptor
from ..oci.image import Image
from ..packages import Package
from .registry import Registry


class Built(Protocol):
    """One platform's image, and the digest of its lock."""

    @property
    def image(self) -> Image: ...

    @property
    def lock(self) -> str: ...


class Delivered(Protocol):
    """What a build gives: a name in the store, what it stands for, and the images of it."""

    @property
    def tag(self) -> str: ...

    @property
    def descriptor(self) -> Descriptor: ...

    @property
    def images(self) -> Sequence[Built]: ...


def record_build(package: Package, done: Delivered, where: str = "") -> None:
    """Register the package and note its images. An error says that the image is there all the same."""
    assert package.digest is not None
    try:
        with Registry.open(where or None) as registry:
            registry.register(package)
            for one in done.images:
                about = {"id": one.image.id, "platform": str(one.image.platform), "lock": one.lock}
                registry.record_image(package.digest, one.image.descriptor.digest, name=done.tag, **about)
            if len(done.images) > 1:
                platforms = ",".join(str(one.image.platform) for one in done.images)
                registry.record_image(package.digest, done.descriptor.digest, id="", name=done.tag, platform=platforms)
    except GantlineError as e:
        raise type(e)(f"{done.tag} is built, and not recorded (--no-record leaves that out): {e.message}") from e
