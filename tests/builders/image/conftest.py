"""A store, a base that is a tar with a Python in name only, and small wheels."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.builders.image.base import Base, open_base
from gantline.builders.image.shelf import Shelf

from gantline.oci.platforms import Platform
from gantline.oci.store import Store

MakeWheel = Callable[..., Path]
AMD64 = Platform("linux", "amd64")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").prepared()


@pytest.fixture
def shelf(store: Store, tmp_path: Path) -> Shelf:
    return Shelf(store, tmp_path / "layers")


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A root file system with the files of Debian's Python, all of them empty."""
    path = tmp_path / "rootfs.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("usr/bin/python3.11", "usr/bin/python3.9", "etc/os-release"):
            tar.addfile(tarfile.TarInfo("./" + name), io.BytesIO())
    return path


@pytest.fixture
def base(rootfs: Path, store: Store) -> Base:
    return open_base(str(rootfs), AMD64, store)


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """`make_wheel("name", {"name/__init__.py": b"..."}, version="1.0")`: the file."""

    def make(
        name: str,
        files: dict[str, bytes],
        version: str = "1.0",
        tags: str = "py3-none-any",
        about: bytes = b"",
    ) -> Path:
        path = tmp_path / "wheels" / f"{name.replace('-', '_')}-{version}-{tags}.whl"
        path.parent.mkdir(exist_ok=True)
        folder = f"{name.replace('-', '_')}-{version}.dist-info"
        head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for at, data in {**files, f"{folder}/METADATA": head.encode() + about, f"{folder}/RECORD": b""}.items():
                archive.writestr(at, data)
        return path

    return make
