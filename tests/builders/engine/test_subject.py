"""Which image a REF means."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.engine.subject import subject

from gantline.errors import NotFound
from gantline.oci.archive import write_archive
from gantline.oci.descriptor import Descriptor
from gantline.oci.image import Image, write_manifest
from gantline.oci.platforms import Platform
from gantline.oci.store import Store

AMD64 = Platform("linux", "amd64")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").prepared()


@pytest.fixture
def image(store: Store) -> Image:
    settings = {"Labels": {"org.opencontainers.image.title": "Iris"}}
    config = {"os": "linux", "architecture": "amd64", "config": settings, "rootfs": {"type": "layers", "diff_ids": []}}
    made = write_manifest(store, config, (), {})
    store.name("iris:latest", made.descriptor)
    return made


def never(ref: str, platform: Platform) -> tuple[str, Descriptor]:
    raise AssertionError(f"{ref}: built")


def test_a_name_with_a_tag_or_without(store: Store, image: Image) -> None:
    for name in ("iris", "iris:latest"):
        found = subject(name, AMD64, store, never)
        assert (found.name, found.image.id) == ("iris:latest", image.id)


def test_an_archive_is_called_by_its_title_and_id(store: Store, image: Image, tmp_path: Path) -> None:
    write_archive(store, image.descriptor, "x:1", tmp_path / "x.tar")
    found = subject(str(tmp_path / "x.tar"), AMD64, Store(tmp_path / "other").prepared(), never)
    assert found.name == f"iris:{image.id[7:19]}" and found.image.id == image.id


def test_a_package_is_built_for_the_engines_platform(store: Store, image: Image, iris_package: Path) -> None:
    asked = []

    def build(ref: str, platform: Platform) -> tuple[str, Descriptor]:
        asked.append((ref, platform))
        return "iris:latest", image.descriptor

    assert subject(str(iris_package), AMD64, store, build).image.id == image.id
    assert asked == [(str(iris_package), AMD64)]


def test_what_is_none_of_these(store: Store) -> None:
    with pytest.raises(NotFound, match=r"^absent:1: no such file, nor a name in .*store; see `gantline build`"):
        subject("absent:1", AMD64, store, never)
