"""Checkouts: made once by many, in use by whoever asked, and never half there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gantline.errors import GantlineError, UsageError, VerificationFailed
from gantline.packages import Package
from gantline.registry import checkout
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]
LetGo = Callable[[str], None]
USER = """
import sys
from gantline.registry.registry import Registry
with Registry.open(sys.argv[1]) as registry:
    print(registry.path("iris"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def registered(tmp_path: Path, make: MakePackage) -> Registry:
    registry = Registry.open(tmp_path / "r")
    registry.register(make())
    return registry


def user(registry: Registry) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", USER, str(registry.place)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_in_use_until_the_process_ends_however(registered: Registry) -> None:
    digest = registered.get("iris").digest
    assert checkout.leased() == set() and checkout.checked_out() == []
    with user(registered) as first:
        assert first.stdout is not None
        path = Path(first.stdout.readline().strip())
        assert (path / "manifest.json").is_file()
        assert checkout.leased() == {digest} and not checkout.remove(digest) and path.is_dir()
        first.kill()
    assert checkout.leased() == set()
    assert checkout.checked_out() == [digest]
    assert checkout.remove(digest) and not path.exists() and checkout.checked_out() == []


def test_this_process_uses_what_it_asked_for(registered: Registry, let_go: LetGo) -> None:
    path = registered.path("iris")
    digest = registered.get("iris").digest
    assert registered.path("iris:1") == path
    assert digest in checkout.leased() and not checkout.remove(digest)
    assert os.path.samefile(path / "model.onnx", next(p for p in _blobs(registered) if p.stat().st_ino == _inode(path)))
    let_go(digest)
    assert checkout.remove(digest)


def test_what_is_checked_out_is_not_written_to_by_mistake(registered: Registry) -> None:
    path = registered.path("iris")
    files = [p for p in path.rglob("*") if p.is_file() and p.name != "lineage.json"]
    assert len(files) == 3 and all(p.stat().st_mode & 0o777 == 0o444 for p in files)


@pytest.mark.slow
def test_many_at_once_make_one(registered: Registry) -> None:
    users = [user(registered) for _ in range(3)]
    told = {p.communicate("")[0] for p in users}
    assert len(told) == 1 and Package.open(told.pop().strip()).verify_files() == 2


def _blobs(registry: Registry) -> list[Path]:
    assert registry.place.file is not None
    return list((registry.place.file.parent / "store" / "blobs" / "sha256").iterdir())


def _inode(path: Path) -> int:
    return (path / "model.onnx").stat().st_ino


def test_a_blob_that_is_damaged_leaves_nothing_half(registered: Registry, home: Path) -> None:
    for blob in _blobs(registered):
        data = blob.read_bytes()
        blob.write_bytes(bytes(len(data)))
    with pytest.raises(VerificationFailed, match="not the bytes that its name says"):
        registered.path("iris")
    assert [p for p in (home / "packages").rglob("*") if p.is_file() and p.suffix != ".lock"] == []


def test_a_home_that_cannot_be_written(registered: Registry, home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(UsageError, match=r"cannot be written: .*; set GANTLINE_HOME"):
        registered.path("iris")


def test_let_go_as_often_as_asked_for(registered: Registry) -> None:
    digest = registered.get("iris").digest
    for _ in range(2):
        registered.path("iris")
    checkout.let_go(digest)
    assert checkout.leased() == {digest} and not checkout.remove(digest)
    checkout.let_go(digest)
    assert checkout.leased() == set()
    checkout.let_go(digest)  # nothing is held any more
    registered.path("iris")
    assert checkout.leased() == {digest}
    checkout.let_go(digest)
    assert checkout.remove(digest)


def test_what_could_not_be_brought_here_is_not_in_use(registered: Registry) -> None:
    for blob in _blobs(registered):
        blob.unlink()
    with pytest.raises(GantlineError):
        registered.path("iris")
    assert checkout.leased() == set()
