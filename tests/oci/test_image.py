"""Images and indexes in a store."""

from __future__ import annotations

from typing import Any

import pytest

from gantline.blobs import canonical_json
from gantline.errors import BadArtefact, NotFound
from gantline.oci.descriptor import CONFIG, DOCKER_INDEX, EMPTY, INDEX, MANIFEST, Descriptor
from gantline.oci.image import Image, choose, manifests, write_index, write_manifest
from gantline.oci.platforms import Platform
from gantline.oci.store import Store

from .conftest import MakeImage


def test_what_an_image_is(store: Store, make_image: MakeImage) -> None:
    image = make_image("linux/arm64", b"1", b"2")
    assert image.platform == Platform("linux", "arm64")
    assert image.settings["Env"] == ["A=b"] and image.labels == {"x": "y"}
    assert len(image.layers) == len(image.diff_ids) == 2
    assert image.diff_ids[1] == image.layers[1].digest, "a layer that is not compressed is its own tar"
    assert image.diff_ids[0] != image.layers[0].digest
    assert image.id == image.config_descriptor.digest
    assert Image.open(store, image.descriptor) == image


def test_an_index_of_two(store: Store, make_image: MakeImage) -> None:
    amd, arm = make_image("linux/amd64"), make_image("linux/arm64")
    index = write_index(store, (amd, arm), {})
    assert [d.digest for d in manifests(store, index)] == [amd.descriptor.digest, arm.descriptor.digest]
    chosen = choose(store, index, Platform("linux", "arm64", "v8"), "iris:1")
    assert chosen.digest == arm.descriptor.digest
    with pytest.raises(NotFound, match="iris:1: has no image for linux/s390x; there is linux/amd64, linux/arm64"):
        choose(store, index, Platform("linux", "s390x"), "iris:1")
    assert choose(store, amd.descriptor, Platform("linux", "s390x"), "iris:1") == amd.descriptor


def test_attestations_are_no_images(store: Store, make_image: MakeImage) -> None:
    image = make_image()
    attestation = Descriptor(MANIFEST, image.descriptor.digest, 5, Platform("unknown", "unknown"))
    tree = {"schemaVersion": 2, "manifests": [attestation.to_json(), image.descriptor.to_json()]}
    index = store.add(canonical_json(tree), DOCKER_INDEX)
    assert [d.platform for d in manifests(store, index)] == [Platform("linux", "amd64")]


def test_an_index_in_an_index(store: Store, make_image: MakeImage) -> None:
    amd, arm = make_image("linux/amd64"), make_image("linux/arm64")
    index = write_index(store, (amd, arm), {})
    for _ in range(2):
        tree = {"schemaVersion": 2, "manifests": [index.to_json()]}
        index = store.add(canonical_json(tree), INDEX)
    assert choose(store, index, Platform("linux", "arm64"), "iris:1").digest == arm.descriptor.digest
    for _ in range(3):
        index = store.add(canonical_json({"schemaVersion": 2, "manifests": [index.to_json()]}), INDEX)
    with pytest.raises(BadArtefact, match="indexes in indexes"):
        list(manifests(store, index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": {}}, "lists layers"),
        ({"layers": []}, "0 layers, and its config does not list as many"),
        ({"config": None}, "not a descriptor"),
        ({"mediaType": "text/plain"}, "text/plain is not an image's manifest"),
    ],
)
def test_what_is_no_image(store: Store, make_image: MakeImage, change: dict[str, Any], message: str) -> None:
    tree = {**store.read_json(make_image().descriptor), **change}
    with pytest.raises(BadArtefact, match=message):
        Image.open(store, store.add(canonical_json(tree), MANIFEST))


def test_an_artifact_is_no_image(store: Store) -> None:
    config = store.add(b"{}", EMPTY)
    tree = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "x/y", "config": config.to_json(), "layers": []}
    with pytest.raises(BadArtefact, match="an artifact of type 'x/y', and no image"):
        Image.open(store, store.add(canonical_json(tree), MANIFEST))


def test_a_config_that_is_none(store: Store, make_image: MakeImage) -> None:
    tree = store.read_json(make_image().descriptor)
    tree["config"] = store.add(b'{"rootfs": 5}', CONFIG).to_json()
    with pytest.raises(BadArtefact, match="diff_ids"):
        Image.open(store, store.add(canonical_json(tree), MANIFEST))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("config", [1]),
        ("config.Env", {"Env": [1]}),
        ("config.Env", {"Env": "A=1"}),
        ("config.Labels", {"Labels": ["a"]}),
        ("config.Labels", {"Labels": {"a": 1}}),
        ("history", 5),
        ("history", ["x"]),
    ],
)
def test_a_config_of_other_things(store: Store, make_image: MakeImage, part: str, value: Any) -> None:
    """Strangers write configs: what is read from them later is looked at once, when one is opened."""
    image = make_image()
    config = {**image.config, part.partition(".")[0]: value}
    with pytest.raises(BadArtefact, match=f"its {part} is not what an image's is"):
        write_manifest(store, config, image.layers, {})
    nothing = {**image.config, "config": None, "history": None}
    assert write_manifest(store, nothing, image.layers, {}).settings == {}


def test_an_index_without_a_list(store: Store) -> None:
    with pytest.raises(BadArtefact, match="lists manifests"):
        list(manifests(store, store.add(b"{}", INDEX)))
