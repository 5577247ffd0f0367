"""Manifests that were pushed and lost their tag: which of them go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gantline.blobs import canonical_json
from gantline.oci.artifact import PACKAGE
from gantline.oci.descriptor import EMPTY, INDEX, MANIFEST, Descriptor
from gantline.oci.image import Image, write_index, write_manifest
from gantline.oci.store import Store
from gantline.registry.untagged import forget, untagged

LATER = 1 << 60
Make = Callable[[str], Image]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").prepared()


@pytest.fixture
def make(store: Store) -> Make:
    def image(said: str) -> Image:
        config = {"rootfs": {"diff_ids": []}, "os": "linux", "architecture": "amd64", "config": {"Labels": {"a": said}}}
        return write_manifest(store, config, (), {})

    return image


def push(store: Store, repository: str, one: Descriptor, tag: str = "") -> str:
    """As `registry serve` keeps it: by digest, or by a tag."""
    name = f"{repository}:{tag}" if tag else f"{repository}@{one.digest}"
    store.name(name, one)
    return name


def signed(store: Store, repository: str, subject: Descriptor) -> tuple[str, str]:
    """A referrer, and the list of it: their names."""
    empty = store.add(b"{}", EMPTY).to_json()
    tree = {"schemaVersion": 2, "config": empty, "layers": [], "subject": subject.to_json()}
    referrer = store.add(canonical_json(tree), MANIFEST)
    listed = store.add(canonical_json({"schemaVersion": 2, "manifests": [referrer.to_json()]}), INDEX)
    return push(store, repository, referrer), push(store, repository, listed, subject.digest.replace(":", "-"))


def gone(store: Store, *used: str, keep: tuple[Descriptor, ...] = (), before: int = LATER) -> set[str]:
    return set(untagged(store, set(used), keep, before))


def test_what_no_tag_leads_to(store: Store, make: Make) -> None:
    old, new, child = make("old"), make("new"), make("child")
    index = write_index(store, (child,), {})
    stray = push(store, "iris", old.descriptor)
    push(store, "iris", new.descriptor)
    push(store, "iris", new.descriptor, "1")
    push(store, "iris", child.descriptor)
    push(store, "other/iris", index, "1")  # in whatever repository the tag is
    store.name("ghcr.io/iris@" + old.id, old.config_descriptor)  # a pull by digest
    assert gone(store) == {stray}
    store.unname("other/iris:1")
    assert gone(store) == {stray, f"iris@{child.descriptor.digest}"}


def test_what_somebody_uses(store: Store, make: Make) -> None:
    one = make("one")
    name = push(store, "iris", one.descriptor)
    assert gone(store) == {name}
    assert gone(store, one.descriptor.digest) == gone(store, one.id) == gone(store, keep=(one.descriptor,)) == set()
    assert gone(store, before=1) == set()  # asked for since
    tree: dict[str, Any] = {"schemaVersion": 2, "layers": [], "annotations": {PACKAGE: "sha256:" + "1" * 64}}
    package = push(store, "model", store.add(canonical_json(tree), MANIFEST))
    assert gone(store) == {name, package} and gone(store, "sha256:" + "1" * 64) == {name}


def test_what_is_about_an_image_goes_with_it(store: Store, make: Make) -> None:
    image = make("one")
    push(store, "iris", image.descriptor, "1")
    names = signed(store, "iris", image.descriptor)
    assert gone(store) == set()
    store.unname("iris:1")
    assert gone(store) == set(names)
    own = push(store, "iris", image.descriptor)
    assert gone(store) == {*names, own}


def test_a_young_index_keeps_its_old_children(store: Store, make: Make) -> None:
    child = make("one")
    name = push(store, "iris", child.descriptor)
    index = push(store, "iris", write_index(store, (child,), {}))
    for path in (store.root / "blobs" / "sha256").iterdir():
        os.utime(path, (1000, 1000))
    assert gone(store, before=2_000_000_000) == {name, index}
    os.utime(store.path(index.partition("@")[2]))
    assert gone(store, before=2_000_000_000) == set()


def test_what_is_damaged_is_no_reason_to_stay(store: Store, make: Make) -> None:
    name = push(store, "iris", make("one").descriptor)
    store.path(name.partition("@")[2]).write_bytes(b"[]")
    assert gone(store) == {name}
    assert gone(store) == {name}  # its blob is aside by now


def test_what_is_asked_for_meanwhile_stays(store: Store, make: Make) -> None:
    one, two = make("one"), make("two")
    names = [push(store, "iris", image.descriptor) for image in (one, two)]
    for image in (one, two):
        os.utime(store.path(image.descriptor.digest), (1000, 1000))
    before = 2_000_000_000
    found = untagged(store, set(), (), before)
    assert set(found) == set(names)
    assert store.has(two.descriptor.digest)  # a push looks whether it is there
    forget(store, found, before)
    assert set(store.names()) == {names[1]}
