"""What is collected, and what never is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from gantline.blobs import canonical_json
from gantline.errors import NotFound
from gantline.oci.descriptor import CONFIG, INDEX, LAYER, MANIFEST, REF_NAME, Descriptor
from gantline.oci.image import write_manifest
from gantline.oci.lease import in_use
from gantline.oci.referrers import attach, referrers
from gantline.oci.store import Store
from gantline.packages import Package
from gantline.registry import tables
from gantline.registry.blob_store import LocalBlobs
from gantline.registry.moment import now
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]
LetGo = Callable[[str], None]
AT_ONCE = "0 seconds"


def digests(registry: Registry) -> set[str]:
    return {b.digest for b in registry.blobs.blobs()}


def store_of(registry: Registry) -> Store:
    assert isinstance(registry.blobs, LocalBlobs)
    return registry.blobs.store


def test_versions_keep_their_blobs_and_share_them(registry: Registry, make: MakePackage) -> None:
    one, two = make(factor=2), make(factor=3)
    registry.register(one)
    registry.register(two)
    assert len(digests(registry)) == 5  # two manifests, two models, and one file that both have
    assert registry.collect(AT_ONCE).blobs == ()
    registry.remove("iris:1")
    assert registry.collect().blobs == () and len(digests(registry)) == 5  # younger than a day
    shown = registry.collect(AT_ONCE, dry_run=True)
    assert len(shown.blobs) == 2 and shown.size > 0 and shown.kept == 3 and len(digests(registry)) == 5
    done = registry.collect(AT_ONCE)
    assert done.blobs == shown.blobs and done.size == shown.size and done.kept == 3
    assert registry.package("iris:2").verify_files() == 2
    assert registry.register(one).id == "iris:3"  # what was collected is written again
    assert registry.package("iris:3").verify_files() == 2


def test_what_somebody_is_registering_now(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    stray = store_of(registry).add(b"on its way", LAYER)
    row = {"owner": "x", "digest": stray.digest, "until": now() + 10**9}
    with registry.database.writing() as connection:
        connection.execute(insert(tables.claims), [row])
    assert registry.collect(AT_ONCE).blobs == ()
    with registry.database.writing() as connection:
        connection.execute(tables.claims.update().values(until=1))  # its process is long gone
    assert registry.collect(AT_ONCE).blobs == (stray.digest,)
    with registry.database.reading() as connection:
        assert connection.execute(tables.claims.select()).all() == []


def test_images_that_the_store_lists(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    store = store_of(registry)
    layer = store.add(b"a layer", LAYER)
    diff = {"rootfs": {"type": "layers", "diff_ids": [layer.digest]}, "os": "linux", "architecture": "amd64"}
    image = write_manifest(store, diff, (layer,), {})
    index = store.add(canonical_json({"schemaVersion": 2, "manifests": [image.descriptor.to_json()]}), INDEX)
    about = {"schemaVersion": 2, "config": store.add(b"{}", CONFIG).to_json(), "layers": []}
    subject = store.add(canonical_json({**about, "subject": image.descriptor.to_json()}), MANIFEST)
    all_of_it = {layer.digest, image.descriptor.digest, image.id, index.digest, subject.digest}
    unlisted = store.add(b"of an image that was built anew", LAYER).digest
    store.name("iris:1", index)
    store.name("signature", subject)
    assert registry.collect(AT_ONCE).blobs == (unlisted,)
    store.unname("iris:1")
    gone = set(registry.collect(AT_ONCE).blobs)
    assert gone == {layer.digest, image.descriptor.digest, image.id, index.digest}  # the signature does not keep it
    store.unname("signature")
    registry.collect(AT_ONCE)
    assert digests(registry) & all_of_it == set() and len(digests(registry)) == 3


def test_what_is_about_an_image_goes_after_it(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    store = store_of(registry)
    image = write_manifest(store, {"rootfs": {"diff_ids": []}, "os": "linux", "architecture": "amd64"}, (), {})
    about = {"schemaVersion": 2, "config": store.add(b"{}", CONFIG).to_json(), "layers": []}
    signature = store.add(canonical_json({**about, "subject": image.descriptor.to_json()}), MANIFEST)
    attach(store, image.descriptor.digest, signature)
    store.name("iris:1", image.descriptor)
    assert registry.collect(AT_ONCE).blobs == () and len(referrers(store, image.descriptor.digest)) == 1
    store.unname("iris:1")
    assert set(registry.collect(AT_ONCE).blobs) == {image.descriptor.digest, image.id}
    assert referrers(store, image.descriptor.digest) == [] and store.names() == {}
    assert signature.digest in registry.collect(AT_ONCE).blobs and len(digests(registry)) == 3


def test_a_package_of_an_image_or_a_deployment(registry: Registry, make: MakePackage) -> None:
    packages = [make(factor=f) for f in (2, 3)]
    for package in packages:
        registry.register(package)
    built, run = (str(p.digest) for p in packages)
    image = store_of(registry).add(b'{"schemaVersion":2}', MANIFEST)
    store_of(registry).name("iris:1", image)
    registry.record_image(built, image.digest, id="", name="iris:1", platform="linux/amd64")
    registry.remove("iris:1")
    registry.remove("iris:2")
    registry.record_deployment("live", run, target="docker")
    assert registry.collect(AT_ONCE).blobs == ()
    store_of(registry).unname("iris:1")
    gone = registry.collect(AT_ONCE).blobs
    assert built in gone and image.digest in gone and run not in gone


def test_what_a_process_uses(registry: Registry, make: MakePackage, let_go: LetGo) -> None:
    package = make()
    registry.register(package)
    path = registry.path("iris")
    registry.remove("iris:1")
    found = registry.collect(AT_ONCE)
    assert found.blobs == () and found.checkouts == () and path.is_dir()
    assert package.digest is not None
    let_go(package.digest)
    assert registry.collect(AT_ONCE, dry_run=True).checkouts == (package.digest,) and path.is_dir()
    found = registry.collect(AT_ONCE)
    assert len(found.blobs) == 3 and found.checkouts == (package.digest,) and not path.exists()


def test_checkouts_of_versions_stay(registry: Registry, make: MakePackage, let_go: LetGo) -> None:
    registry.register(make())
    path = registry.path("iris")
    let_go(registry.get("iris").digest)
    assert registry.collect(AT_ONCE).checkouts == () and path.is_dir()


def test_an_image_of_which_a_part_is_missing(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    store = store_of(registry)
    config, layer = store.add(b"{}", CONFIG), store.add(b"layer", LAYER)
    tree = {"schemaVersion": 2, "config": config.to_json(), "layers": [layer.to_json(), {"digest": "nonsense"}]}
    manifest = store.add(canonical_json(tree), MANIFEST)
    missing = Descriptor(MANIFEST, "sha256:" + "0" * 64, 3, annotations={REF_NAME: "lost"})
    store.name("broken", manifest)
    index = {"schemaVersion": 2, "manifests": [*(d.to_json() for d in store.listed()), missing.to_json()]}
    (store.root / "index.json").write_bytes(canonical_json(index))
    assert registry.collect(AT_ONCE).blobs == ()


@pytest.mark.parametrize("old", [False, True])
def test_what_killed_writers_left(registry: Registry, make: MakePackage, old: bool) -> None:
    registry.register(make())
    stray = store_of(registry).root / "blobs" / "sha256" / ".incoming.abc"
    stray.write_bytes(b"half")
    if old:
        os.utime(stray, (1, 1))
    registry.collect()
    assert stray.exists() is not old
    assert Path(stray.parent).is_dir()


def test_what_a_build_or_a_push_touches(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    store = store_of(registry)
    before = store.add(b"nobody wants it", LAYER)
    os.utime(store.path(before.digest), (1000, 1000))
    with in_use(store):
        written = store.add(b"of an image that has no name yet", LAYER)
        assert registry.collect(AT_ONCE).blobs == (before.digest,)
    assert registry.collect(AT_ONCE).blobs == (written.digest,)


def test_what_an_endpoint_runs(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    store = store_of(registry)
    image = write_manifest(store, {"rootfs": {"diff_ids": []}, "os": "linux", "architecture": "amd64"}, (), {})
    assert registry.collect(AT_ONCE, keep=[image.descriptor]).blobs == ()
    assert set(registry.collect(AT_ONCE).blobs) == {image.descriptor.digest, image.id}


def test_what_was_pushed_and_has_no_tag(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    store = store_of(registry)
    about: dict[str, Any] = {"rootfs": {"diff_ids": []}, "os": "linux", "architecture": "amd64"}
    one, built = (write_manifest(store, {**about, "author": who}, (), {}) for who in "ab")
    for image in (one, built):
        store.name(f"iris@{image.descriptor.digest}", image.descriptor)
    registry.record_image("p", built.descriptor.digest, id=built.id, name="iris:1", platform="linux/amd64")
    name = f"iris@{one.descriptor.digest}"
    assert registry.collect(AT_ONCE).blobs == () and registry.collect(untagged=True).names == ()  # of today
    shown = registry.collect(AT_ONCE, dry_run=True, untagged=True)
    assert shown.names == (name,) and set(shown.blobs) == {one.descriptor.digest, one.id} and name in store.names()
    assert registry.collect(AT_ONCE, untagged=True) == shown
    assert set(store.names()) == {f"iris@{built.descriptor.digest}"}


def test_a_store_in_which_nothing_was_registered(home: Path) -> None:
    store = Store(home / "store").prepared()
    stray = store.add(b"of a pull", LAYER)
    kept = write_manifest(store, {"rootfs": {"diff_ids": []}, "os": "linux", "architecture": "amd64"}, (), {})
    store.name("iris:1", kept.descriptor)
    with Registry.open() as registry:
        assert registry.collect(AT_ONCE).blobs == (stray.digest,)
    with Registry.open(home / "none") as registry, pytest.raises(NotFound, match="there is none yet"):
        registry.collect(AT_ONCE)
