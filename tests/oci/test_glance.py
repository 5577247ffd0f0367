"""A glance at what is in a registry: documents come, and nothing that weighs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, NotFound, VerificationFailed
from gantline.manifest import Manifest
from gantline.oci.artifact import keep_package
from gantline.oci.descriptor import Descriptor
from gantline.oci.glance import glance, package_of
from gantline.oci.image import Image, write_index
from gantline.oci.platforms import Platform
from gantline.oci.push import push
from gantline.oci.reference import Reference
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from gantline.packages import Package, seal
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import Registry

ARM = Platform.parse("linux/arm64")


@pytest.fixture
def package(tmp_path: Path) -> Package:
    root = tmp_path / "package"
    root.mkdir()
    (root / "model.onnx").write_bytes(os.urandom(100_000))
    return seal(root, Manifest("iris", "onnx", "model.onnx"), {"run": "r1"})


def put(registry: Registry, store: Store, descriptor: Descriptor) -> Reference:
    reference = Reference.parse(f"oci://{registry.host}/iris:1")
    with Transport.of(reference) as transport:
        push(store, descriptor, Remote.of(transport, reference), reference)
    return reference


def test_a_package_without_its_weights(
    registry: Registry, store: Store, mine: Store, package: Package, tmp_path: Path
) -> None:
    reference = put(registry, store, keep_package(store, package))
    found = glance(reference, mine)
    folder = tmp_path / "seen"
    folder.mkdir()
    seen = package_of(mine, found, folder)
    assert seen.digest == package.digest and seen.lineage() == package.lineage()
    assert not mine.has(package.manifest.files[0].digest)


def test_an_image_without_its_layers(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    one, two = make_image("linux/amd64", b"1"), make_image("linux/arm64", b"2")
    reference = put(registry, store, write_index(store, (one, two), {}))
    seen = Image.open(mine, glance(reference, mine, ARM))
    assert seen.id == two.id and seen.layers == two.layers
    assert not any(mine.has(layer.digest) for image in (one, two) for layer in image.layers)
    with pytest.raises(NotFound, match="has no image for linux/s390x"):
        glance(reference, mine, Platform.parse("linux/s390x"))


def test_one_image_of_another_platform(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    reference = put(registry, store, make_image("linux/amd64", b"1").descriptor)
    with pytest.raises(NotFound, match="is for linux/amd64, not for linux/arm64"):
        glance(reference, mine, ARM)


def test_what_is_not_what_it_says(
    registry: Registry, store: Store, mine: Store, make_image: MakeImage, package: Package, tmp_path: Path
) -> None:
    image = make_image("linux/amd64", b"1")
    reference = put(registry, store, image.descriptor)
    registry.blobs["iris", image.id] = bytes(image.config_descriptor.size)
    with pytest.raises(VerificationFailed, match="the registry, or a proxy, changed it"):
        glance(reference, mine)
    kept = keep_package(mine, package)
    tree = mine.read_json(kept)
    for wrong, error, why in (
        ({**tree, "layers": []}, BadArtefact, "without manifest.json"),
        ({**tree, "annotations": {"dev.gantline.package": "sha256:0"}}, VerificationFailed, "its annotation says"),
    ):
        folder = Path(tmp_path, why.split()[0])
        folder.mkdir()
        data = str(wrong).replace("'", '"').encode()
        with pytest.raises(error, match=why):
            package_of(mine, mine.add(data, kept.media_type), folder)
