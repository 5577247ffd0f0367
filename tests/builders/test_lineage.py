"""Lineage: digests of what was packaged, the commit of the directory one stands in, and what the user told."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from gantline.builders.lineage import Told, digest_of, lineage_of
from gantline.builders.source import Source

import gantline


def git(*words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_a_file_its_digest_and_what_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    path = tmp_path / "m.onnx"
    path.write_bytes(b"abc")
    found = lineage_of(Source("m", path=path), Told("spring", "run-7", "s3://data"))
    assert found == {
        "created": "1970-01-02T00:00:00Z",
        "gantline": gantline.__version__,
        "source": "m.onnx",
        "source_digest": "sha256:" + hashlib.sha256(b"abc").hexdigest(),
        "label": "spring",
        "run": "run-7",
        "dataset": "s3://data",
    }


def test_the_commit_and_whether_it_is_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    (tmp_path / "train.py").write_text("x = 1\n")
    git("add", "train.py")
    git("commit", "-q", "-m", "one")
    git("remote", "add", "origin", "https://user:secret@example.com/r.git")
    found = lineage_of(Source("m", reference="pkg.mod:model"), Told())
    assert found["git_commit"] == git("rev-parse", "HEAD") and found["git_dirty"] is False
    assert found["git_remote"] == "https://example.com/r.git" and found["source"] == "pkg.mod:model"
    (tmp_path / "train.py").write_text("x = 2\n")
    assert lineage_of(Source("m", object=[]), Told())["git_dirty"] is True
    assert lineage_of(Source("m", object=[]), Told())["source"] == "builtins.list in memory"


def test_a_directorys_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "f.txt").write_text("one")
    assert digest_of(tmp_path / "a") == digest_of(tmp_path / "b")
    (tmp_path / "b" / "sub" / "f.txt").rename(tmp_path / "b" / "g.txt")
    assert digest_of(tmp_path / "a") != digest_of(tmp_path / "b")
