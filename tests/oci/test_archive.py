"""Archives and layouts, as other programs read them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gantline.errors import UsageError, VerificationFailed
from gantline.oci.archive import write_archive, write_layout
from gantline.oci.image import write_index
from gantline.oci.store import Store

from .conftest import MakeImage


def test_one_tar_for_both(store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image("linux/amd64", b"1", b"2")
    size = write_archive(store, image.descriptor, "iris:1", tmp_path / "iris.tar")
    assert size == (tmp_path / "iris.tar").stat().st_size
    with tarfile.open(tmp_path / "iris.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    blobs = {name.rpartition("/")[2]: data for name, data in files.items() if name.startswith("blobs/")}
    assert len(blobs) == 4
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    (docker,) = json.loads(files["manifest.json"])
    assert docker["RepoTags"] == ["iris:1"] and docker["Config"] == "blobs/sha256/" + image.id[7:]
    assert all(at in files for at in docker["Layers"])
    (listed,) = json.loads(files["index.json"])["manifests"]
    assert listed["digest"] == image.descriptor.digest
    assert listed["annotations"]["io.containerd.image.name"] == "docker.io/library/iris:1", "what Kubernetes asks for"
    assert listed["annotations"]["org.opencontainers.image.ref.name"] == "iris:1"
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_the_same_bytes_again(store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image()
    for name in ("a.tar", "b.tar"):
        write_archive(store, image.descriptor, "iris:1", tmp_path / name)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_nothing_is_overwritten_unasked(store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    (tmp_path / "iris.tar").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        write_archive(store, make_image().descriptor, "iris:1", tmp_path / "iris.tar")
    assert (tmp_path / "iris.tar").read_text() == "mine"
    write_archive(store, make_image().descriptor, "iris:1", tmp_path / "iris.tar", overwrite=True)
    write_layout(store, make_image().descriptor, "iris:1", tmp_path / "iris")
    with pytest.raises(UsageError, match="--overwrite"):
        write_layout(store, make_image().descriptor, "iris:1", tmp_path / "iris")
    write_layout(store, make_image().descriptor, "iris:1", tmp_path / "iris", overwrite=True)


@pytest.mark.parametrize("write", [write_archive, write_layout])
def test_what_the_disk_has_damaged_is_not_passed_on(
    store: Store, make_image: MakeImage, tmp_path: Path, write: Callable[..., int]
) -> None:
    """Whoever loads it would be told of a wrong digest, on another machine and long after."""
    image = make_image("linux/amd64", b"1", b"2")
    path = store.path(image.layers[0].digest)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationFailed, match="get or build it again"):
        write(store, image.descriptor, "iris:1", tmp_path / "iris")
    assert not (tmp_path / "iris").exists() and not path.exists()


def test_a_layout_is_a_store(store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image("linux/amd64", b"1")
    write_layout(store, image.descriptor, "iris:1", tmp_path / "iris")
    found = Store(tmp_path / "iris").names()
    assert found["iris:1"].digest == image.descriptor.digest
    assert not (tmp_path / "iris" / "manifest.json").exists(), "a layout is no docker-archive"


@pytest.mark.container
def test_skopeo_reads_all_of_them(store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("needs skopeo: apt-get install skopeo")
    amd, arm = make_image("linux/amd64", b"1", b"2"), make_image("linux/arm64", b"1", b"3")
    index = write_index(store, (amd, arm), {})
    write_archive(store, index, "iris:1", tmp_path / "both.tar")
    write_archive(store, amd.descriptor, "iris:1", tmp_path / "one.tar")
    write_layout(store, index, "iris:1", tmp_path / "both")
    store.name("iris:1", index)

    def inspect(where: str, *words: str) -> dict[str, object]:
        command = [skopeo or "", "inspect", *words, where]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    arm64 = ("--override-arch", "arm64")
    for where in (f"oci-archive:{tmp_path}/both.tar:iris:1", f"oci:{tmp_path}/both:iris:1", f"oci:{store.root}:iris:1"):
        assert inspect(where, *arm64)["Layers"] == [d.digest for d in arm.layers]
    assert inspect(f"docker-archive:{tmp_path}/one.tar:iris:1")["Architecture"] == "amd64"
