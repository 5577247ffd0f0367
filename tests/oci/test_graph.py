"""Graph: all that is below a manifest or an index, children first."""

from __future__ import annotations

from typing import Any

import pytest

from gantline.blobs import canonical_json
from gantline.errors import BadArtefact, NotFound
from gantline.oci.descriptor import INDEX, MANIFEST, Descriptor
from gantline.oci.graph import Graph
from gantline.oci.image import write_index
from gantline.oci.store import Store
from tests.oci.conftest import MakeImage


def keep(store: Store, tree: dict[str, Any], media_type: str) -> Descriptor:
    return store.add(canonical_json(tree), media_type)


def test_an_index_comes_last(store: Store, make_image: MakeImage) -> None:
    one, two = make_image("linux/amd64", b"a", b"same"), make_image("linux/arm64", b"b", b"same")
    index = write_index(store, (one, two), {})
    found = Graph.of(store, index)
    assert list(found.manifests) == [one.descriptor.digest, two.descriptor.digest, index.digest]
    below = {b.digest for i in (one, two) for b in (i.config_descriptor, *i.layers)}
    assert set(found.blobs) == below == set(found.blobs_below(index.digest))
    assert set(found.blobs_below(one.descriptor.digest)) < below
    assert found.add(store, index) == []


def test_what_is_missing_is_named(store: Store, make_image: MakeImage) -> None:
    image = make_image()
    store.path(image.layers[0].digest).unlink()
    with pytest.raises(NotFound, match=f"has no blob {image.layers[0].digest}"):
        Graph.of(store, image.descriptor)


def test_layers_that_registries_do_not_keep(store: Store, make_image: MakeImage) -> None:
    image = make_image()
    far = {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": "sha256:" + "0" * 64}
    tree = store.read_json(image.descriptor)
    tree["layers"].append({**far, "size": 1})
    assert set(Graph.of(store, keep(store, tree, MANIFEST)).blobs) == {image.id, image.layers[0].digest}


def test_indexes_in_one_another_end(store: Store, make_image: MakeImage) -> None:
    found = make_image().descriptor
    for _ in range(6):
        found = keep(store, {"schemaVersion": 2, "manifests": [found.to_json()]}, INDEX)
    with pytest.raises(BadArtefact, match="indexes in indexes"):
        Graph.of(store, found)
    with pytest.raises(BadArtefact, match="no list"):
        Graph.of(store, keep(store, {"manifests": {"a": 1}}, INDEX))
