"""Bases that are images: in archives and layouts of several tools, in a registry, of several platforms."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.image.base import Base, open_base
from gantline.builders.image.entry import Entry, of_bytes
from gantline.builders.image.layer import write_layer
from gantline.builders.image.upstream import is_image

from gantline.errors import BadArtefact, NotFound, Unreachable, Unsupported, UsageError
from gantline.home import home
from gantline.oci.archive import write_archive, write_layout
from gantline.oci.descriptor import INDEX, Descriptor
from gantline.oci.image import Image, write_index, write_manifest
from gantline.oci.platforms import Platform
from gantline.oci.push import push
from gantline.oci.reference import Reference
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from tests.oci.faulty_registry import Registry
from tests.oci.test_docker_registry import docker_registry

from .conftest import AMD64
from .test_rootfs import FILES, pack
from .tiny_elf import tiny_elf
from .whiteout import whiteout

ARM64 = Platform("linux", "arm64")


@pytest.fixture(autouse=True)
def gantline_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))


def make(store: Store, architecture: str = "amd64", *more: Entry) -> Image:
    """An image of two layers, the upper of which hides a file of the lower."""
    library = f"usr/local/lib/python3.12/asyncio/{architecture}"
    below = [
        of_bytes("usr/local/bin/python3.12", tiny_elf(architecture)),
        of_bytes(library, b""),
        of_bytes("etc/x", b""),
    ]
    above = [whiteout("etc", "x"), of_bytes("etc/os-release", b"ID=debian\n"), *more]
    layers = write_layer(store, below, "below"), write_layer(store, above, "above")
    config = {
        **Platform("linux", architecture).to_json(), "config": {"Env": ["PATH=/usr/local/bin", "LANG=C.UTF-8"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }  # fmt: skip
    return write_manifest(store, config, tuple(layer.descriptor for layer in layers), {})


@pytest.fixture
def theirs(tmp_path: Path) -> Store:
    """Another machine's store."""
    return Store(tmp_path / "theirs").prepared()


def check(base: Base, image: Image) -> None:
    assert base.layers == image.layers and base.diff_ids == image.diff_ids and base.settings == image.settings
    assert (base.python, base.interpreter) == ((3, 12), "/usr/local/bin/python3.12")
    assert base.variables["LANG"] == "C.UTF-8" and base.system == {"ID": "debian"}
    assert base.tree.names("etc") == ("os-release",), "what the upper layer hides is not there"


@pytest.mark.parametrize("write, name", [(write_archive, "a.tar"), (write_layout, "a")])
def test_from_an_archive_and_a_layout(
    write: Callable[[Store, Descriptor, str, Path], int], name: str, theirs: Store, store: Store, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    image = make(theirs)
    write(theirs, image.descriptor, "x:1", tmp_path / name)
    assert is_image(tmp_path / name)
    check(open_base(str(tmp_path / name), AMD64, store), image)
    with monkeypatch.context() as m:
        m.setattr("gantline.oci.reading.read", None)
        check(open_base(str(tmp_path / name), AMD64, store), image)
    store.path(image.layers[0].digest).unlink()
    check(open_base(str(tmp_path / name), AMD64, store), image)
    with pytest.raises(BadArtefact, match="is for linux/amd64, and the image for linux/arm64"):
        open_base(str(tmp_path / name), ARM64, store)


def test_of_several_platforms(theirs: Store, store: Store, tmp_path: Path) -> None:
    images = make(theirs), make(theirs, "arm64")
    write_layout(theirs, write_index(theirs, images, {}), "x:1", tmp_path / "a")
    for platform, image in zip((AMD64, ARM64), images, strict=True):
        base = open_base(str(tmp_path / "a"), platform, store)
        check(base, image)
        assert base.platform.architecture == platform.architecture and base.digest == image.descriptor.digest
    with pytest.raises(NotFound, match="no image for linux/s390x; there is linux/amd64, linux/arm64"):
        open_base(str(tmp_path / "a"), Platform("linux", "s390x"), store)


def listing(layout: Path, *images: Image) -> Path:
    """A layout that lists images one by one."""
    tree = json.loads((layout / "index.json").read_text())
    tree["manifests"] = [image.descriptor.to_json() for image in images]
    (layout / "index.json").write_text(json.dumps(tree))
    return layout


def test_a_layout_without_an_index_of_platforms(theirs: Store, store: Store, tmp_path: Path) -> None:
    images = make(theirs), make(theirs, "arm64"), make(theirs, "arm64", of_bytes("y", b""))
    write_layout(theirs, write_index(theirs, images, {}), "x:1", tmp_path / "a")
    at = listing(tmp_path / "a", *images[:2])
    for platform, image in zip((AMD64, ARM64), images, strict=False):
        check(open_base(str(at), platform, store), image)
    at = listing(tmp_path / "a", *images)
    with pytest.raises(UsageError, match="has 3 images, 2 of them for linux/arm64"):
        open_base(str(at), ARM64, store)


def test_layers_that_nobody_here_can_read(theirs: Store, store: Store, tmp_path: Path) -> None:
    image = make(theirs)
    strange = replace(image.layers[0], media_type="application/vnd.oci.image.layer.v1.tar+gzip+encrypted")
    image = write_manifest(theirs, image.config, (strange, image.layers[1]), {})
    write_layout(theirs, image.descriptor, "x:1", tmp_path / "a")
    with pytest.raises(Unsupported, match=r"a layer of type '.*encrypted': neither a plain tar nor"):
        open_base(str(tmp_path / "a"), AMD64, store)


def test_from_a_registry_that_keeps_indexes_in_an_index(theirs: Store, store: Store) -> None:
    images = make(theirs), make(theirs, "arm64")
    inner = write_index(theirs, images, {})
    outer = theirs.add(json.dumps({"schemaVersion": 2, "manifests": [inner.to_json()]}).encode(), INDEX)
    with Registry().serving() as registry:
        reference = Reference.parse(f"oci://{registry.host}/nested:1")
        with Transport.of(reference) as transport:
            push(theirs, outer, Remote.of(transport, reference), reference)
        check(open_base(str(reference), ARM64, store), images[1])


def test_as_docker_saved_them_before_oci(theirs: Store, store: Store, tmp_path: Path) -> None:
    """docker save of Docker 1.10 to 24: ID/layer.tar, ID.json, manifest.json."""
    image = make(theirs)
    with tarfile.open(tmp_path / "saved.tar", "w") as tar:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        for number, layer in enumerate(image.layers):
            add(f"{number:064x}/layer.tar", gzip.decompress(theirs.path(layer.digest).read_bytes()))
        add(image.id[7:] + ".json", theirs.path(image.id).read_bytes())
        row = {"Config": image.id[7:] + ".json", "RepoTags": ["x:1"], "Layers": [f"{n:064x}/layer.tar" for n in (0, 1)]}
        add("manifest.json", json.dumps([row]).encode())
    base = open_base(str(tmp_path / "saved.tar"), AMD64, store)
    assert base.diff_ids == image.diff_ids and base.python == (3, 12)


def test_which_tars_are_images(tmp_path: Path) -> None:
    assert not is_image(pack(tmp_path / "a.tar", FILES)) and not is_image(tmp_path)
    assert not is_image(pack(tmp_path / "b.tar", {"var/x": b"", "manifest.json": b""}))
    (tmp_path / "text").write_text("no tar")
    assert not is_image(tmp_path / "text")
    with pytest.raises(UsageError, match=r"no OCI layout; .*: tar -C .* -cf base\.tar \."):
        open_base(str(tmp_path), AMD64, Store(tmp_path / "s").prepared())


def pushed(registry: Registry, theirs: Store, descriptor: Descriptor, tag: str = "1") -> str:
    reference = Reference.parse(f"{registry.host}/bases/python:{tag}")
    with Transport.of(reference) as transport:
        push(theirs, descriptor, Remote.of(transport, reference), reference)
    return str(reference)


def test_from_a_registry_pinned_at_first_use(theirs: Store, store: Store) -> None:
    images = make(theirs), make(theirs, "arm64")
    with Registry().serving() as registry:
        index = write_index(theirs, images, {})
        name = pushed(registry, theirs, index)
        for platform, image in zip((AMD64, ARM64), images, strict=True):
            base = open_base(name, platform, store)
            check(base, image)
            assert base.notes[0].startswith(f"base {name} is pinned at {index.digest}, in {home()}")
        newer = make(theirs, "amd64", of_bytes("etc/new", b""))
        pushed(registry, theirs, newer.descriptor)
        asked = len(registry.seen)
        check(open_base(name, AMD64, store), images[0])
        assert len(registry.seen) == asked, "the pinned one is here, so nobody is asked"
        assert open_base(name, AMD64, store, anew=True).diff_ids == newer.diff_ids
        assert open_base(name, AMD64, store).diff_ids == newer.diff_ids, "and that is the pin from then on"
        by_digest = f"{name.rpartition(':')[0]}@{index.digest}"
        base = open_base(by_digest, AMD64, store)
        assert base.notes == () and base.diff_ids == images[0].diff_ids
    check(open_base(by_digest, ARM64, store), images[1])  # without the registry


def test_out_of_reach(store: Store) -> None:
    with pytest.raises(
        Unreachable, match=r"base 127\.0\.0\.1:9/python:3\.12.*; without a registry.*sudo debootstrap.* noble "
    ):
        open_base("127.0.0.1:9/python:3.12-slim", AMD64, store, (3, 12))
    with Registry().serving() as registry, pytest.raises(NotFound, match="debootstrap"):
        open_base(f"{registry.host}/no/such:1", AMD64, store)
    with pytest.raises(Unreachable, match=r"base bases/mine: no such file, and registry docker\.io"):
        open_base("bases/mine", AMD64, store)
    assert not (home() / "bases" / "pins.json").exists() and store.names() == {}


def skopeo(*words: str) -> None:
    subprocess.run(["skopeo", "copy", *words], check=True, capture_output=True)


@pytest.mark.container
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("skopeo") or not shutil.which("docker-registry"), reason="needs both, of Debian")
def test_debian_from_a_registry_where_skopeo_put_it(
    base_tar: Path, store: Store, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    theirs = Store(tmp_path / "theirs").prepared()
    platform = Platform.of_this_machine()
    local = open_base(str(base_tar), platform, theirs)
    config = {**platform.to_json(), "config": {}, "rootfs": {"type": "layers", "diff_ids": list(local.diff_ids)}}
    write_layout(theirs, write_manifest(theirs, config, local.layers, {}).descriptor, "base", tmp_path / "layout")
    with docker_registry(tmp_path / "registry", free_port(), guarded=False) as server:
        there, tar = f"docker://{server.host}/debian:12", f"docker-archive:{tmp_path}/docker.tar:d:12"
        for words in (
            ["--dest-tls-verify=false", f"oci:{tmp_path}/layout:base", there],
            ["--src-tls-verify=false", there, tar],
        ):
            subprocess.run(["skopeo", "copy", *words], check=True, capture_output=True)
        base = open_base(f"{server.host}/debian:12", platform, store)
    assert base.diff_ids == local.diff_ids and base.glibc == (2, 36) and base.python == (3, 11)
    assert open_base(str(tmp_path / "docker.tar"), platform, store).diff_ids == local.diff_ids
