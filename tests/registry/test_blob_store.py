"""Blobs on this machine: whole, checked, and costing no room twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gantline.blobs import sha256_file
from gantline.errors import NotFound, UsageError, VerificationFailed
from gantline.oci.store import Store
from gantline.registry.blob_store import LocalBlobs, open_blobs
from gantline.registry.place import Place

NONE = "sha256:" + "0" * 64


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(Store(tmp_path / "store"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(100_000))
    return path


def test_there_and_back(blobs: LocalBlobs, file: Path, tmp_path: Path) -> None:
    digest = sha256_file(file)
    assert not blobs.has(digest, 100_000) and list(blobs.blobs()) == []
    blobs.put(digest, 100_000, file)
    blobs.put(digest, 100_000, file)
    assert blobs.has(digest, 100_000) and not blobs.has(digest, 99_999)
    assert [(b.digest, b.size) for b in blobs.blobs()] == [(digest, 100_000)]
    blobs.fetch(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert os.path.samefile(tmp_path / "back", blobs.store.path(digest))
    with pytest.raises(NotFound, match=f"has no blob {NONE}"):
        blobs.fetch(NONE, tmp_path / "none")


def test_other_bytes_than_were_said(blobs: LocalBlobs, file: Path, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed):
        blobs.put(NONE, 100_000, file)
    assert list(blobs.blobs()) == [] and not list((tmp_path / "store" / "blobs" / "sha256").iterdir())
    digest = sha256_file(file)
    blobs.put(digest, 100_000, file)
    blobs.store.path(digest).write_bytes(b"rotten")
    with pytest.raises(VerificationFailed, match="not the bytes that its name says"):
        blobs.fetch(digest, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    blobs.put(digest, 100_000, file)  # one that is cut short is written again
    blobs.fetch(digest, tmp_path / "back")


def test_what_is_old_and_what_was_asked_for(blobs: LocalBlobs, file: Path) -> None:
    digest = sha256_file(file)
    blobs.put(digest, 100_000, file)
    os.utime(blobs.store.path(digest), (1, 1))
    (stray := blobs.store.path(digest).with_name(".incoming.x")).write_bytes(b"")
    os.utime(stray, (1, 1))
    blobs.has(digest, 100_000)  # somebody means to use it
    assert not blobs.remove(digest, 10**15)
    os.utime(blobs.store.path(digest), (1, 1))
    assert blobs.remove(digest, 10**15) and not blobs.remove(digest, 10**15)
    blobs.sweep(0)
    assert stray.exists()
    blobs.sweep(10**15)
    assert not stray.exists()


def test_where_a_registry_says_they_are(tmp_path: Path) -> None:
    place = Place(tmp_path / "registry.db")
    assert str(open_blobs("store", place)) == str(tmp_path / "store")
    assert str(open_blobs("/srv/b", place)) == "/srv/b" == str(open_blobs("file:///srv/b", place))
    assert str(open_blobs("memory://x/y/", place)) == "memory://x/y"
    with pytest.raises(UsageError, match="no place for blobs; type: gantline registry init"):
        open_blobs("", Place(url="postgresql://x"))


def test_what_is_asked_for_while_it_goes_comes_back(
    blobs: LocalBlobs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sha256_file(file)
    blobs.put(digest, 100_000, file)
    path = blobs.store.path(digest)
    os.utime(path, (1, 1))
    replace = os.replace

    def asked(source: str | Path, target: str | Path) -> None:
        if source == path:
            assert blobs.store.has(digest)
        replace(source, target)

    monkeypatch.setattr(os, "replace", asked)
    assert not blobs.remove(digest, 2_000_000_000) and blobs.has(digest, 100_000)
    monkeypatch.undo()
    os.utime(path, (1, 1))
    assert blobs.remove(digest, 2_000_000_000) and not list(path.parent.iterdir())


def test_what_others_left_is_swept(blobs: LocalBlobs, file: Path) -> None:
    digest = sha256_file(file)
    blobs.put(digest, 100_000, file)
    path, root = blobs.store.path(digest), blobs.store.root
    os.replace(path, path.with_name(".going." + path.name))  # a collector was killed there
    (root / "uploads").mkdir()
    old = [path.with_name(".incoming.a"), path.with_name(".damaged.a"), root / ".index.a", root / "uploads" / "a"]
    for one in (*old, path.with_name(".incoming.b"), root / "uploads" / "b"):
        one.write_bytes(b"half")
    for one in old:
        os.utime(one, (1, 1))
    blobs.sweep(2_000_000_000)
    assert blobs.has(digest, 100_000) and not any(one.exists() for one in old)
    assert path.with_name(".incoming.b").exists() and (root / "uploads" / "b").exists()
