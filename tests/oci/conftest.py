"""Small images, made of real layers; a registry that fails as it is told, and the store of who reads from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gantline.builders.image.entry import Entry, of_bytes
from gantline.builders.image.layer import write_layer

from gantline.oci.image import Image, write_manifest
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from tests.oci.faulty_registry import Registry

MakeImage = Callable[..., Image]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").prepared()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry().serving() as running:
        yield running


@pytest.fixture
def mine(tmp_path: Path) -> Store:
    return Store(tmp_path / "mine").prepared()


@pytest.fixture
def make_image(store: Store) -> MakeImage:
    """`make_image("linux/arm64", b"...", ...)`: an image with a layer for each of these contents."""

    def make(platform: str = "linux/amd64", *contents: bytes) -> Image:
        layers = []
        for i, data in enumerate(contents or (b"hello",)):
            entries: list[Entry] = [of_bytes(f"data/{i}", data)]
            layers.append(write_layer(store, entries, f"layer {i}", compress=i % 2 == 0))
        config = {
            **Platform.parse(platform).to_json(),
            "config": {"Env": ["A=b"], "Labels": {"x": "y"}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
        return write_manifest(store, config, tuple(layer.descriptor for layer in layers), {})

    return make
