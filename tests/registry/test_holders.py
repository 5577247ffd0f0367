"""Holders: parts of images and artifacts lead to what they are part of, and a trace goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gantline.errors import NotFound
from gantline.oci.artifact import keep_package
from gantline.oci.descriptor import LAYER
from gantline.oci.image import Image, write_index, write_manifest
from gantline.oci.store import Store
from gantline.packages import Package
from gantline.registry.holders import holders
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]


def image_of(store: Store, content: bytes) -> Image:
    layer = store.add(content, LAYER)
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [layer.digest]}}
    return write_manifest(store, config, (layer,), {})


def test_a_layer_leads_to_its_image_and_package(registry: Registry, make: MakePackage, home: Path) -> None:
    package = registry.register(make()).digest
    store = Store.of_user()
    built, other = image_of(store, b"weights"), image_of(store, b"something else")
    store.name("both", write_index(store, (built, other), {}))
    registry.record_image(package, built.descriptor.digest, id=built.id, name="both", platform="linux/amd64")
    (layer,) = built.layers
    found = registry.trace(layer.digest[:20])
    assert (found.digest, found.package) == (layer.digest, package)
    assert found.found_as == f"layer 1 of image {built.descriptor.digest}"
    with pytest.raises(NotFound, match=rf"layer 1 of image {other.descriptor.digest}.*`gantline build` records it"):
        registry.trace(other.layers[0].digest)
    assert [h.what for h in holders(store, other.id)] == [f"config of image {other.descriptor.digest}"]
    store.path(other.descriptor.digest).write_bytes(b"damaged")
    assert holders(store, other.id) == [] and registry.trace(layer.digest).package == package


def test_an_artifact_leads_to_its_package(registry: Registry, make: MakePackage) -> None:
    package = make()
    store = Store.of_user()
    kept = keep_package(store, package)
    store.name("h:5000/iris:1", kept)
    with pytest.raises(NotFound, match=rf"\(artifact\) is of package {package.digest}, which.*`gantline register`"):
        registry.register(make(factor=9))
        registry.trace(kept.digest)
    registry.register(package)
    found = registry.trace(kept.digest)
    assert (found.found_as, found.package) == ("artifact", package.digest)
