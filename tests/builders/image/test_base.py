"""Bases from a tar."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from gantline.builders.image.base import Base, find_glibc, find_system, open_base
from gantline.builders.image.tree import Tree

from gantline.errors import BadArtefact, Unsupported, UsageError
from gantline.oci.platforms import Platform
from gantline.oci.store import Store

from .conftest import AMD64
from .test_rootfs import FILES, pack
from .tiny_elf import tiny_elf

Files = dict[str, bytes | str | None]
LIBC = tiny_elf(soname="libc.so.6") + b"GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\n"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_root_file_system(base: Base, rootfs: Path, store: Store) -> None:
    assert (base.interpreter, base.python) == ("/usr/bin/python3.11", (3, 11)), "the newest"
    assert store.has(base.layers[0].digest)
    assert open_base(str(rootfs), AMD64, store) == base
    assert open_base(str(rootfs), AMD64, store, (3, 9)).interpreter == "/usr/bin/python3.9"


def test_what_is_said_of_it(tmp_path: Path, store: Store) -> None:
    status = b"Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\n\n"
    status += b"Package: old\nStatus: deinstall ok config-files\n"
    path = pack(
        tmp_path / "a.tar",
        {
            "usr/bin/python3.11": tiny_elf(), "usr/lib/python3.11/asyncio/x.py": b"", "lib": "->usr/lib",
            "usr/lib/x86_64-linux-gnu/libc.so.6": LIBC,
            "usr/lib/os-release": b'ID=debian\nVERSION_CODENAME="bookworm"\n',
            "etc/os-release": "->../usr/lib/os-release", "var/lib/dpkg/status": status, "var/log/x": b"",
            "var/lib/dpkg/status.d/zlib1g": b"Package: zlib1g\nVersion: 1\n",
            "var/lib/dpkg/status.d/odd": b"Package: odd\n",
        },
    )  # fmt: skip
    found = open_base(str(path), AMD64, store)
    assert found.glibc == (2, 36) and found.system == {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    assert {n: p["Version"] for n, p in found.installed().items()} == {"libc6": "2.36-9", "odd": "", "zlib1g": "1"}
    assert found.installed()["odd"]["Architecture"] == ""
    assert found.notes == ("base a.tar: files left out: 1 of logs",)
    with pytest.raises(BadArtefact, match="is for linux/amd64, and the image for linux/arm64"):
        open_base(str(path), Platform("linux", "arm64"), store)


def test_a_python_of_its_own(tmp_path: Path, store: Store) -> None:
    """As Docker's images have it, in /usr/local; Debian's is told as its package."""
    version = b"\x003.11.9\0"
    status = b"Package: python3.11-minimal\nStatus: install ok installed\nVersion: 3.11.2-6\nArchitecture: amd64\n"
    both: Files = {
        "usr/bin/python3.11": tiny_elf(),
        "usr/lib/python3.11/asyncio/x.py": b"",
        "var/lib/dpkg/status": status,
    }
    assert open_base(str(pack(tmp_path / "debian.tar", both)), AMD64, store).own_python == ""
    local: Files = {
        "usr/local/bin/python3.11": tiny_elf(), "usr/local/lib/python3.11/asyncio/x.py": b"",
        "usr/local/lib/libpython3.11.so.1.0": tiny_elf() + version,
    }  # fmt: skip
    assert open_base(str(pack(tmp_path / "slim.tar", both | local)), AMD64, store).own_python == "3.11.9"
    del local["usr/local/lib/libpython3.11.so.1.0"]
    assert open_base(str(pack(tmp_path / "other.tar", both | local)), AMD64, store).own_python == "3.11"


def test_the_same_file_is_read_once(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "a.tar", {**FILES})
    one = open_base(str(path), AMD64, store)
    again = tmp_path / "b.tar"
    again.write_bytes(path.read_bytes())
    with monkeypatch.context() as m:
        m.setattr("gantline.builders.image.rootfs.keep_rootfs", None)
        assert open_base(str(path), AMD64, store) == one
        assert open_base(str(again), AMD64, store).diff_ids == one.diff_ids, "by what it holds"
    pack(path, {**FILES, "new": b"x"})
    assert open_base(str(path), AMD64, store).diff_ids != one.diff_ids


def test_musl(tmp_path: Path, store: Store) -> None:
    path = pack(tmp_path / "a.tar", {"usr/bin/python3.12": tiny_elf(), "lib/ld-musl-x86_64.so.1": tiny_elf()})
    with pytest.raises(Unsupported, match="musl"):
        open_base(str(path), AMD64, store)


def test_what_is_no_base(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_base(str(tmp_path / "not"), AMD64, store)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a directory"):
        open_base(str(tmp_path / "pipe"), AMD64, store)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BadArtefact, match="not a tar archive"):
        open_base(str(tmp_path / "text"), AMD64, store)
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(BadArtefact, match="python"):
        open_base(str(tmp_path / "empty.tar"), AMD64, store)
    assert find_glibc(Tree()) == (0, 0) and find_system(Tree()) == {}


@pytest.mark.container
@pytest.mark.slow
def test_debian_as_debootstrap_makes_it(base_tar: Path, store: Store) -> None:
    found = open_base(str(base_tar), Platform.of_this_machine(), store)
    assert found.interpreter == "/usr/bin/python3.11" and found.glibc == (2, 36)
    assert found.system["VERSION_CODENAME"] == "bookworm" and len(found.installed()) > 80
    assert "caches" in found.notes[0] and "devices" in found.notes[0]
    assert not {"var/cache/apt/archives/partial/x", "dev/null"} & {path for path, _ in found.tree.walk()}
