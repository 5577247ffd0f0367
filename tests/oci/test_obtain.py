"""Obtain: paths, names in the store and names in registries; what a digest names is not asked for twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gantline.errors import NotFound, Unreachable
from gantline.oci.archive import write_archive, write_layout
from gantline.oci.image import write_index
from gantline.oci.obtain import obtain
from gantline.oci.platforms import Platform
from gantline.oci.push import push
from gantline.oci.reference import Reference
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import Registry

AMD, ARM = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry().serving() as running:
        yield running


@pytest.fixture
def mine(tmp_path: Path) -> Store:
    return Store(tmp_path / "mine").prepared()


def test_paths_and_names(store: Store, mine: Store, make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image()
    write_archive(store, image.descriptor, "iris:1", tmp_path / "a.tar")
    write_layout(store, image.descriptor, "iris:1", tmp_path / "layout")
    mine.name("iris:1", obtain(str(tmp_path / "a.tar"), mine))
    for ref in (tmp_path / "layout", "iris:1"):
        assert obtain(str(ref), mine).digest == image.descriptor.digest
    with pytest.raises(NotFound, match=r"neither a file nor a name in .*mine; and as a reference 'A b'"):
        obtain("A b", mine)


def test_names_in_a_registry(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    amd, arm = make_image("linux/amd64", b"a"), make_image("linux/arm64", b"b")
    index = write_index(store, (amd, arm), {})
    ref = f"oci://{registry.host}/base:1"
    reference = Reference.parse(ref)
    with Transport.of(reference) as transport:
        push(store, index, Remote.of(transport, reference), reference)
    for platform, image in ((AMD, amd), (ARM, arm), (AMD, amd)):
        assert obtain(ref, mine, platform).digest == image.descriptor.digest
    asked = len(registry.seen)
    pinned = f"oci://{registry.host}/base@{index.digest}"
    assert obtain(pinned, mine, AMD).digest == amd.descriptor.digest
    assert len(registry.seen) > asked
    asked = len(registry.seen)
    for platform in (AMD, AMD):
        assert obtain(pinned, mine, platform).digest == amd.descriptor.digest
    assert obtain(f"{registry.host}/base@{arm.descriptor.digest}", mine, ARM).digest == arm.descriptor.digest
    assert len(registry.seen) == asked


def test_without_the_registry(store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image()
    with Registry().serving() as registry:
        ref = f"{registry.host}/base:1"
        reference = Reference.parse(ref)
        with Transport.of(reference) as transport:
            push(store, image.descriptor, Remote.of(transport, reference), reference)
        obtain(ref, mine, AMD)
    with pytest.raises(Unreachable, match=r"what it was last is here, as (.*): name that to go on") as caught:
        obtain(ref, mine, AMD)
    named = caught.value.message.partition(", as ")[2].partition(": name")[0]
    assert named == f"{registry.host}/base@{image.descriptor.digest}"
    assert obtain(named, mine, AMD).digest == image.descriptor.digest
    with pytest.raises(Unreachable, match=r"nothing listens there$"):
        obtain(f"{registry.host}/other:1", mine, AMD)
