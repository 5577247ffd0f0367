"""What the store knows of an image."""

from __future__ import annotations

from gantline.builders.deploy.facts import Facts, facts

from gantline.oci.store import Store
from tests.oci.conftest import MakeImage, make_image, store

__all__ = ["make_image", "store"]  # fixtures


def test_by_name_and_by_digest(store: Store, make_image: MakeImage) -> None:
    image = make_image()
    store.name("iris:1", image.descriptor)
    for name in ("iris:1", f"r.example/iris@{image.descriptor.digest}"):
        assert facts(name, store).image_id == image.id
    assert facts("iris:2", store) == Facts() == facts("r.example/iris@sha256:" + "0" * 64, store)
