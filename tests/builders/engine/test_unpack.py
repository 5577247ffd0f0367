"""Layers become files: whiteouts, links, and nothing outside."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.builders.engine.unpack import unpacked

from gantline.errors import BadArtefact, VerificationFailed
from gantline.oci.descriptor import LAYER, Descriptor
from gantline.oci.image import Image, write_manifest
from gantline.oci.store import Store

Members = dict[str, bytes | tuple[bytes, str] | None]
Make = Callable[..., Image]


def layer(members: Members) -> bytes:
    """A tar: bytes for a file, None for a folder, a type and a target for a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, what in members.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if what is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(what, tuple):
                info.type, info.linkname = what
                tar.addfile(info)
            else:
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
    return out.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").prepared()


@pytest.fixture
def make(store: Store) -> Make:
    def image(*layers: Members, diff_id: str = "") -> Image:
        tars = [layer(members) for members in layers]
        kept = tuple(store.add(tar, LAYER) for tar in tars)
        ids = [diff_id or "sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
        config = {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}}
        return write_manifest(store, config, tuple(Descriptor(d.media_type, d.digest, d.size) for d in kept), {})

    return image


def test_whiteouts_hide_what_is_below_and_no_more(store: Store, make: Make, tmp_path: Path) -> None:
    below: Members = {"a": None, "a/old": b"1", "a/kept": b"1", "b": None, "b/old": b"1", "b/new": b"1"}
    above: Members = {"a/.wh.old": b"", "b/new": b"2", "b/.wh..wh..opq": b"", "c": b"3"}
    root = unpacked(store, make(below, above), tmp_path / "rootfs")
    assert sorted(p.name for p in (root / "a").iterdir()) == ["kept"]
    assert {p.name: p.read_bytes() for p in (root / "b").iterdir()} == {"new": b"2"}
    assert (root / "dev" / "null").is_file() and (root / "proc").is_dir()


def test_links_stay_inside(store: Store, make: Make, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    below: Members = {
        "usr/lib/x": b"x", "lib": (tarfile.SYMTYPE, "usr/lib"), "out": (tarfile.SYMTYPE, str(outside)),
        "up": (tarfile.SYMTYPE, "../../../../../../.."), "same": (tarfile.LNKTYPE, "usr/lib/x"),
    }  # fmt: skip
    above: Members = {"lib/y": b"y", "out/z": b"z", "up/w": b"w"}
    root = unpacked(store, make(below, above), tmp_path / "rootfs")
    assert (root / "usr/lib/y").read_bytes() == b"y" and (root / "lib").is_symlink()
    assert (root / "same").read_bytes() == b"x" and (root / "w").read_bytes() == b"w"
    assert list(outside.iterdir()) == [] and (root / str(outside).lstrip("/") / "z").read_bytes() == b"z"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../x": b""}, "leads out of the root"),
        ({"x": (tarfile.LNKTYPE, "../../etc/passwd")}, "leads out of the root"),
        ({"x": (tarfile.LNKTYPE, "absent")}, "a hard link to what is no file"),
        ({"x": (tarfile.SYMTYPE, "x"), "x/y": b""}, "leads in a circle"),
        ({"x": b"", "x/y": b""}, "a file where a folder is needed"),
    ],
)
def test_what_is_refused_leaves_nothing(
    store: Store, make: Make, tmp_path: Path, members: Members, message: str
) -> None:
    with pytest.raises(BadArtefact, match=message):
        unpacked(store, make(members), tmp_path / "rootfs")
    assert [p.name for p in (tmp_path / "rootfs").iterdir()] == [".lock"]


def test_another_layer_than_the_config_says(store: Store, make: Make, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match="its files have the digest"):
        unpacked(store, make({"x": b"1"}, diff_id=f"sha256:{'0' * 64}"), tmp_path / "rootfs")


def test_a_layer_that_the_disk_damaged(store: Store, make: Make, tmp_path: Path) -> None:
    image = make({"a": b"1"})
    path = store.path(image.layers[0].digest)
    path.write_bytes(layer({"a": b"2"}))
    with pytest.raises(VerificationFailed, match="is set aside; get or build it again"):
        unpacked(store, image, tmp_path / "images")
    assert not path.exists()


def test_it_is_done_once(store: Store, make: Make, tmp_path: Path) -> None:
    image = make({"x": b"1"})
    root = unpacked(store, image, tmp_path / "rootfs")
    (root / "x").write_bytes(b"seen")
    assert (unpacked(store, image, tmp_path / "rootfs") / "x").read_bytes() == b"seen"
