"""What has a name in a store, and what room it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import gantline
from gantline.errors import NotFound
from gantline.oci.artifact import keep_package
from gantline.oci.descriptor import Descriptor
from gantline.oci.image import write_index
from gantline.oci.inventory import Inventory
from gantline.oci.referrers import attach
from gantline.oci.store import Store
from tests.oci.conftest import MakeImage


def blobs(store: Store) -> int:
    return sum(p.stat().st_size for p in (store.root / "blobs" / "sha256").iterdir())


def test_of_an_empty_store(store: Store) -> None:
    found = Inventory.of(store)
    assert (found.held, found.size) == ((), 0)
    with pytest.raises(NotFound, match="there is nothing"):
        found.get("a:1")


def test_what_several_share_is_counted_once(store: Store, make_image: MakeImage) -> None:
    base, own = b"base" * 5000, b"own" * 7000
    one, two = make_image("linux/amd64", base), make_image("linux/amd64", base, own)
    for name, image in (("a:1", one), ("b:1", two)):
        store.name(name, image.descriptor)
    found = Inventory.of(store)
    a, b = found.held
    assert (a.name, a.kind, a.platforms, a.ids, a.digest) == (
        "a:1", "image", ("linux/amd64",), (one.id,), one.descriptor.digest,
    )  # fmt: skip
    assert found.size == blobs(store) == a.size + b.alone == b.size + a.alone
    assert b.size - b.alone == one.layers[0].size, "the layer of both"
    store.name("a:again", one.descriptor)
    again = Inventory.of(store)
    assert again.others("a:1") == ["a:again"] and again.size == found.size


def test_an_index_and_a_package(store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    package = gantline.package(Ridge().fit(x, x[:, 0]), name="ridge", output=tmp_path / "ridge.pkg")
    images = (make_image("linux/amd64", b"x"), make_image("linux/arm64", b"y"))
    store.name("both:1", write_index(store, images, {}))
    store.name("model:1", keep_package(store, package))
    both, model = Inventory.of(store).held
    assert (both.kind, both.platforms, both.ids) == (
        "image", ("linux/amd64", "linux/arm64"), tuple(i.id for i in images),
    )  # fmt: skip
    assert (model.kind, model.package, model.platforms) == ("package", package.digest, ())


def test_lists_of_signatures_are_not_shown_and_others_artifacts_are(store: Store, make_image: MakeImage) -> None:
    image = make_image()
    store.name("a:1", image.descriptor)
    data = b'{"schemaVersion":2,"config":%s,"layers":[]}'
    config = store.add(b"{}", "application/vnd.example.config+json")
    said = store.add(
        data % (b'{"mediaType":"%s","digest":"%s","size":2}' % (config.media_type.encode(), config.digest.encode())),
        image.descriptor.media_type,
    )
    attach(store, image.descriptor.digest, Descriptor(said.media_type, said.digest, said.size))
    store.name("chart:1", said)
    assert [(h.name, h.kind) for h in Inventory.of(store).held] == [("a:1", "image"), ("chart:1", "artifact")]


def test_one_that_lost_a_part_is_named_so(store: Store, make_image: MakeImage) -> None:
    image = make_image()
    store.name("a:1", image.descriptor)
    store.path(image.layers[0].digest).unlink()
    (one,) = Inventory.of(store).held
    assert (one.kind, one.size) == ("damaged", 0)
    store.path(image.descriptor.digest).unlink()
    (one,) = Inventory.of(store).held
    assert (one.kind, one.digest) == ("damaged", image.descriptor.digest)
