"""Debian packages taken apart."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from gantline.builders.image.deb import Content, read_deb
from gantline.builders.image.entry import Entry

from gantline.errors import BadArtefact

from .tiny_deb import Files, ar_of, tiny_deb

FILES: Files = {
    "usr/lib/x/libx.so.1.0": b"library", "usr/lib/x/libx.so.1": "->libx.so.1.0", "lib/x/extra": b"e",
    "usr/bin/tool": b"#!", "usr/bin/again": "=usr/bin/tool", "usr/share/doc/libx1/copyright": b"MIT",
    "usr/share/doc/libx1/changelog.gz": b"x", "usr/share/man/man1/tool.1.gz": b"x", "usr/include/x.h": b"x",
    "usr/lib/x/libx.a": b"x", "usr/share/locale/de/x.mo": b"x", "usr/share/doc/libx-dev": "->libx1",
}  # fmt: skip


def bytes_of(entry: Entry) -> bytes:
    assert entry.open is not None
    with entry.open() as f:
        return f.read()


def opened(data: bytes, tmp_path: Path) -> Content:
    (tmp_path / "x.deb").write_bytes(data)
    return read_deb(tmp_path / "x.deb", lambda path: path.replace("lib/x/extra", "usr/lib/x/extra", 1))


WAYS: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.compress, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress, "": bytes,
}  # fmt: skip


@pytest.mark.parametrize("ending", WAYS)
def test_its_files(ending: str, tmp_path: Path) -> None:
    data = tiny_deb(
        "libx1", FILES, pack=WAYS[ending], ending=ending, scripts={"postinst": b"#!/bin/sh"}, more={"Section": "libs"}
    )
    found = opened(data, tmp_path)
    assert (found.control["Version"], found.control["Section"], found.scripts) == ("1.0-1", "libs", ("postinst",))
    entries = {entry.path: entry for entry in found.entries}
    assert sorted(entries) == [
        "usr/bin/again", "usr/bin/tool", "usr/lib/x/extra", "usr/lib/x/libx.so.1", "usr/lib/x/libx.so.1.0",
        "usr/share/doc/libx-dev", "usr/share/doc/libx1/copyright", "var/lib/dpkg/status.d/libx1",
    ]  # fmt: skip
    assert (
        bytes_of(entries["usr/lib/x/libx.so.1.0"]) == b"library"
        and entries["usr/lib/x/libx.so.1"].link == "libx.so.1.0"
    )
    assert bytes_of(entries["usr/bin/again"]) == b"#!" and entries["usr/bin/again"].mode == 0o755
    assert b"Package: libx1\nVersion: 1.0-1\n" in bytes_of(entries["var/lib/dpkg/status.d/libx1"])


def test_entries_outlive_what_they_were_read_from(tmp_path: Path) -> None:
    one = next(
        e for e in opened(tiny_deb("a1", {"x": b"1" * 9000, "y": b"2" * 9000}), tmp_path).entries if e.path == "y"
    )
    (tmp_path / "x.deb").unlink()
    assert bytes_of(one) == b"2" * 9000 == bytes_of(one)


def test_from_the_disk_where_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantline.builders.image.deb._IN_MEMORY", 10)
    (x, _) = opened(tiny_deb("a1", {"x": b"1" * 9000}), tmp_path).entries
    assert bytes_of(x) == b"1" * 9000


def test_damaged(tmp_path: Path) -> None:
    whole = tiny_deb("a1", {"x": bytes(range(256)) * 20})
    for cut in (0, 7, 40, 80, 200, len(whole) // 2, len(whole) - 30):
        with pytest.raises(BadArtefact):
            opened(whole[:cut], tmp_path)
    with pytest.raises(BadArtefact, match=r"one control\.tar, not 0"):
        opened(ar_of({"data.tar.gz": gzip.compress(b"")}), tmp_path)
    with pytest.raises(BadArtefact, match="name and version"):
        opened(tiny_deb("../../etc", {}), tmp_path)
    with pytest.raises(BadArtefact, match="leads out"):
        opened(tiny_deb("a1", {"../x": b""}), tmp_path)
    with pytest.raises(BadArtefact, match="hard link to what is not there"):
        opened(tiny_deb("a1", {"x": "=y"}), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb, which writes them, is not installed")
@pytest.mark.parametrize("how", ["gzip", "xz", "zstd", "none"])
def test_as_dpkg_writes_them(how: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    control = "Package: libx1\nVersion: 2-1\nArchitecture: all\nMaintainer: me <me@example.org>\nDescription: x\n"
    (root / "DEBIAN/control").write_text(control)
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/libx.so.1").write_bytes(b"library")
    subprocess.run(["dpkg-deb", f"-Z{how}", "--build", root, tmp_path / "y.deb"], check=True, capture_output=True)
    found = read_deb(tmp_path / "y.deb", str)
    assert [(e.path, bytes_of(e)) for e in found.entries] == [
        ("usr/lib/libx.so.1", b"library"), ("var/lib/dpkg/status.d/libx1", control.encode()),
    ]  # fmt: skip
