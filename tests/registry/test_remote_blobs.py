"""Blobs on file systems of fsspec: its own in memory and on disk here; S3 and Azure Blob in test_remote_servers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from gantline.blobs import sha256_file
from gantline.errors import GantlineError, NotFound, Unsupported, UsageError, VerificationFailed
from gantline.packages import Package
from gantline.registry.registry import Registry
from gantline.registry.remote_blobs import RemoteBlobs

MakePackage = Callable[..., Package]
LetGo = Callable[[str], None]
NONE = "sha256:" + "0" * 64


@pytest.fixture(params=["memory", "local"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{uuid.uuid4().hex}/p" if request.param == "memory" else f"local://{tmp_path}/remote"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(9 << 20))  # more than two pieces
    return path


def test_there_and_back(url: str, file: Path, tmp_path: Path) -> None:
    blobs, digest, size = RemoteBlobs(url), sha256_file(file), file.stat().st_size
    assert not blobs.has(digest, size) and list(blobs.blobs()) == []
    blobs.put(digest, size, file)
    blobs.put(digest, size, file)
    assert blobs.has(digest, size) and not blobs.has(digest, size - 1)
    (found,) = blobs.blobs()
    assert (found.digest, found.size) == (digest, size) and found.modified
    blobs.fetch(digest, tmp_path / "back")
    assert sha256_file(tmp_path / "back") == digest
    with pytest.raises(NotFound, match="has no blob"):
        blobs.fetch(NONE, tmp_path / "none")
    assert blobs.remove(digest, 0) and not blobs.remove(digest, 0) and list(blobs.blobs()) == []
    blobs.sweep(10**18)


def test_other_bytes_than_were_said(url: str, file: Path, tmp_path: Path) -> None:
    blobs, digest, size = RemoteBlobs(url), sha256_file(file), file.stat().st_size
    with pytest.raises(VerificationFailed, match="expected sha256:000"):
        blobs.put(NONE, size, file)
    assert list(blobs.blobs()) == []
    blobs.put(digest, size, file)
    fs, root = fsspec.core.url_to_fs(url)
    fs.pipe(f"{root}/blobs/sha256/{digest[7:]}", b"x" * size)
    with pytest.raises(VerificationFailed, match="not the bytes that its name says"):
        blobs.fetch(digest, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_registry_with_its_blobs_elsewhere(url: str, tmp_path: Path, make: MakePackage, let_go: LetGo) -> None:
    made = make()
    with Registry.open(tmp_path / "r") as registry:
        assert registry.make(url)
        registry.register(made)
        assert len(list(registry.blobs.blobs())) == 3 and not (tmp_path / "r" / "store").exists()
    with Registry.open(tmp_path / "r") as registry:
        assert registry.package("iris").verify_files() == 2
        assert not registry.make(url) and registry.blobs_at == url
        with pytest.raises(UsageError, match=r"with its blobs at .*; they stay there"):
            registry.make("memory://elsewhere")
        registry.remove("iris:1")
        assert registry.collect("0 seconds").blobs == ()  # in use
        let_go(str(made.digest))
        assert len(registry.collect("0 seconds").blobs) == 3 and list(registry.blobs.blobs()) == []


@pytest.mark.parametrize(
    ("url", "kind", "why"),
    [("s3://bucket/x", Unsupported, "s3fs"), ("nothing://x", UsageError, "nothing")],
)
def test_what_cannot_be_had(url: str, kind: type[GantlineError], why: str) -> None:
    with pytest.raises(kind, match=why) as caught:
        RemoteBlobs(url)
    assert "\n" not in caught.value.message
