"""Reading: archives and layouts as tools of three generations wrote them, and damaged ones."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, GantlineError, UsageError, VerificationFailed
from gantline.oci.archive import write_archive, write_layout
from gantline.oci.descriptor import LAYER, MANIFEST
from gantline.oci.image import Image, choose, write_index
from gantline.oci.platforms import Platform
from gantline.oci.reading import Found, is_archive, only, read
from gantline.oci.referrers import attach, referrers
from gantline.oci.store import Store
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import digest_of


def plain_layers(store: Store, image: Image) -> list[bytes]:
    """The layers' tars, unpacked if need be."""
    found = [store.path(layer.digest).read_bytes() for layer in image.layers]
    return [gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for data in found]


def old_docker_save(store: Store, image: Image, target: Path, twisted: bool = False) -> Path:
    """As Docker before 25: a folder a layer, a link where two images share one, configs by their digests."""
    layers = plain_layers(store, image)
    config = store.path(image.id).read_bytes()
    names = [f"{n:064x}/layer.tar" for n in range(len(layers))]
    manifest = [{"Config": f"{image.id[7:]}.json", "RepoTags": ["iris:1"], "Layers": [*names[:-1], "shared/layer.tar"]}]
    with tarfile.open(target, "w") as tar:

        def add(path: str, data: bytes) -> None:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        add(f"{image.id[7:]}.json", config)
        for name, data in zip(names, layers, strict=True):
            add(name.replace("layer.tar", "VERSION"), b"1.0")
            add(name.replace("layer.tar", "json"), b"{}")
            add(name, data + bytes(10240) if twisted else data)
        link = tarfile.TarInfo("shared/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, f"../{names[-1]}"
        tar.addfile(link)
        add("manifest.json", json.dumps(manifest).encode())
        add("repositories", b"{}")
    return target


def test_our_own(store: Store, mine: Store, make_image: MakeImage, tmp_path: Path) -> None:
    images = make_image("linux/amd64", b"a", b"b"), make_image("linux/arm64", b"c")
    index = write_index(store, images, {})
    write_archive(store, index, "iris:1", tmp_path / "a.tar")
    (found,) = read(tmp_path / "a.tar", mine)
    assert found.names == ("iris:1",) and found.descriptor.digest == index.digest
    arm = choose(mine, found.descriptor, Platform.parse("linux/arm64"), "iris")
    assert Image.open(mine, arm).diff_ids == images[1].diff_ids
    other = Store(tmp_path / "other").prepared()
    write_layout(store, index, "iris:1", tmp_path / "layout")
    assert read(tmp_path / "layout", other) == [found]
    assert is_archive(tmp_path / "layout") and is_archive(tmp_path / "a.tar") and not is_archive(tmp_path)


def test_what_is_said_about_its_images_comes_along(
    store: Store, mine: Store, make_image: MakeImage, tmp_path: Path
) -> None:
    image, other = make_image("linux/amd64", b"a"), make_image("linux/amd64", b"b")
    for subject in (image, other):
        tree = {"config": image.config_descriptor.to_json(), "layers": [], "subject": subject.descriptor.to_json()}
        attach(store, subject.descriptor.digest, store.add(json.dumps(tree).encode(), MANIFEST))
    write_layout(store, image.descriptor, "iris:1", tmp_path / "layout")
    (found,) = read(tmp_path / "layout", mine)
    assert found.names == ("iris:1",)
    assert referrers(mine, image.descriptor.digest) == referrers(store, image.descriptor.digest) != []
    assert read(tmp_path / "layout", mine) == [found] and len(referrers(mine, image.descriptor.digest)) == 1
    write_layout(store, image.descriptor, "iris:1", tmp_path / "lies")
    index = json.loads((tmp_path / "lies" / "index.json").read_bytes())
    (about,) = referrers(store, other.descriptor.digest)
    shutil.copy(store.path(about.digest), tmp_path / "lies" / "blobs" / "sha256")
    index["manifests"].append(about.to_json())
    (tmp_path / "lies" / "index.json").write_text(json.dumps(index))
    mine.name("other:1", mine.add(store.read(other.descriptor), MANIFEST))
    read(tmp_path / "lies", mine)
    assert referrers(mine, other.descriptor.digest) == [], "it is not in there"


@pytest.mark.parametrize("packed", [False, True])
def test_what_docker_used_to_save(
    store: Store, mine: Store, make_image: MakeImage, tmp_path: Path, packed: bool
) -> None:
    image = make_image("linux/arm64/v8", b"a", b"b", b"c")
    path = old_docker_save(store, image, tmp_path / "d.tar")
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    (found,) = read(path, mine)
    got = Image.open(mine, found.descriptor)
    assert found.names == ("iris:1",) and str(found.descriptor.platform) == "linux/arm64/v8"
    assert (got.id, got.diff_ids) == (image.id, image.diff_ids)
    assert [layer.digest for layer in got.layers] == list(image.diff_ids) and {x.media_type for x in got.layers} == {
        LAYER
    }


def test_a_layer_that_is_not_the_configs(store: Store, mine: Store, make_image: MakeImage, tmp_path: Path) -> None:
    path = old_docker_save(store, make_image(), tmp_path / "d.tar", twisted=True)
    with pytest.raises(VerificationFailed, match=r"d.tar: layer sha256:.* and its config says sha256:"):
        read(path, mine)


def test_a_blob_that_is_not_what_its_name_says(
    store: Store, mine: Store, make_image: MakeImage, tmp_path: Path
) -> None:
    image = make_image("linux/amd64", b"a" * 5000)
    write_layout(store, image.descriptor, "x", tmp_path / "layout")
    blob = tmp_path / "layout" / "blobs" / "sha256" / image.layers[0].digest[7:]
    blob.write_bytes(b"changed")
    with pytest.raises(VerificationFailed, match=f"{blob}: digest sha256:.* of 7 bytes, expected sha256:"):
        read(tmp_path / "layout", mine)
    blob.unlink()
    with pytest.raises(BadArtefact, match=f"layout: has no blob {image.layers[0].digest}"):
        read(tmp_path / "layout", mine)
    for path in (mine.root / "blobs" / "sha256").iterdir():
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"


def tar_of(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_what_is_no_archive(mine: Store, tmp_path: Path) -> None:
    cases: list[tuple[Path, type[GantlineError], str]] = [
        (tar_of(tmp_path / "1.tar", hello=b"x"), BadArtefact, "neither index.json nor manifest.json"),
        (tar_of(tmp_path / "2.tar", index_json=b"{"), BadArtefact, "not JSON"),
        (tar_of(tmp_path / "3.tar", index_json=b"{}"), BadArtefact, "lists no image"),
        (tar_of(tmp_path / "4.tar", manifest_json=b"[]"), BadArtefact, "lists no images"),
        (tar_of(tmp_path / "5.tar", manifest_json=b'[{"Config":"c","Layers":[]}]'), BadArtefact, "has no file 'c'"),
        (tmp_path / "absent.tar", UsageError, "No such file"),
        (tmp_path, BadArtefact, "not an OCI image layout"),
    ]
    (tmp_path / "text.tar").write_text("hello")
    cases.append((tmp_path / "text.tar", BadArtefact, "not a whole tar archive"))
    for path, kind, words in cases:
        with pytest.raises(kind, match=words):
            read(path, mine)


def test_an_archive_that_was_cut(store: Store, mine: Store, make_image: MakeImage, tmp_path: Path) -> None:
    write_archive(store, make_image("linux/amd64", b"a" * 50_000, b"b" * 50_000).descriptor, "x", tmp_path / "a.tar")
    whole = (tmp_path / "a.tar").read_bytes()
    for size in (len(whole) // 3, len(whole) // 2, 2000):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises((BadArtefact, VerificationFailed)):
            read(tmp_path / "cut.tar", mine)


@pytest.mark.parametrize(
    ("given", "full", "name"),
    [
        ("iris:1", "docker.io/library/iris:1", "iris:1"),  # as we write it
        ("1", "docker.io/library/iris:1", "docker.io/library/iris:1"),  # as BuildKit does
        ("iris:1", "iris:1", "iris:1"),
        ("iris:1", None, "iris:1"),
        (None, "registry.example/iris:1", "registry.example/iris:1"),
    ],
)
def test_the_name_of_two(
    given: str | None, full: str | None, name: str, store: Store, mine: Store, make_image: MakeImage, tmp_path: Path
) -> None:
    write_layout(store, make_image().descriptor, "x", tmp_path / "layout")
    index = json.loads((tmp_path / "layout" / "index.json").read_bytes())
    notes = {"org.opencontainers.image.ref.name": given, "io.containerd.image.name": full}
    index["manifests"][0]["annotations"] = {key: value for key, value in notes.items() if value is not None}
    (tmp_path / "layout" / "index.json").write_text(json.dumps(index))
    (found,) = read(tmp_path / "layout", mine)
    assert found.names == (name,)


def test_one_of_several(store: Store, mine: Store, make_image: MakeImage, tmp_path: Path) -> None:
    one, two = make_image("linux/amd64", b"1"), make_image("linux/amd64", b"2")
    layout = tmp_path / "layout"
    write_layout(store, one.descriptor, "one", layout)
    shutil.copytree(store.root / "blobs", layout / "blobs", dirs_exist_ok=True)
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"].append({**two.descriptor.to_json(), "annotations": {"org.opencontainers.image.ref.name": "two"}})
    (layout / "index.json").write_text(json.dumps(index))
    found = read(layout, mine)
    assert only(found, layout, "two") == Found(("two",), two.descriptor)
    with pytest.raises(UsageError, match=r"has 2 images \(one, two\); give an archive of one"):
        only(found, layout)
    with pytest.raises(UsageError, match="has no image 'three'; there is one, two"):
        only(found, layout, "three")
