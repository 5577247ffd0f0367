"""Content addresses, and directories and files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gantline.blobs import canonical_json, publish_directory, publish_file, sha256_bytes, sha256_file
from gantline.errors import Unavailable, UsageError


def left(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(os.listdir(folder))


def test_digests_are_sha256(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == sha256_bytes(data) == "sha256:" + hashlib.sha256(data).hexdigest()


def test_one_spelling_for_one_value() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "é\n"}) == '{"a":"é\\n","b":[1,2.5]}'.encode()
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "one.pkg"
    with publish_directory(target) as work:
        (work / "inner").mkdir()
        (work / "inner" / "f").write_text("x")
        assert not target.exists()
    assert (target / "inner" / "f").read_text() == "x"
    assert left(target.parent) == ["one.pkg"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_nothing_is_left_of_a_directory_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), publish_directory(tmp_path / "one") as work:
        (work / "f").write_text("x")
        _ = 1 / 0
    assert left(tmp_path) == []


def test_a_directory_in_the_way(tmp_path: Path) -> None:
    target = tmp_path / "one"
    target.mkdir()
    (target / "manifest.json").write_text("old")
    with pytest.raises(UsageError, match="--overwrite"), publish_directory(target):
        pytest.fail("the block must not run")
    with publish_directory(target, overwrite=True) as work:
        (work / "manifest.json").write_text("new")
    assert (target / "manifest.json").read_text() == "new"
    assert left(tmp_path) == ["one"]


def test_an_overwrite_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "one"
    target.mkdir()
    (target / "manifest.json").write_text("old")
    with pytest.raises(ZeroDivisionError), publish_directory(target, overwrite=True) as work:
        (work / "manifest.json").write_text("new")
        _ = 1 / 0
    assert (target / "manifest.json").read_text() == "old"
    assert left(tmp_path) == ["one"]


@pytest.mark.parametrize("kind", ["file", "foreign directory", "link to a package", "device"])
def test_what_is_never_overwritten(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    if kind == "file":
        target.write_text("precious")
    elif kind == "foreign directory":
        target.mkdir()
        (target / "thesis.tex").write_text("precious")
    elif kind == "link to a package":
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "manifest.json").write_text("precious")
        target.symlink_to("real")
    else:
        os.mkfifo(target)
    before = left(tmp_path)
    with pytest.raises(UsageError, match="remove it first"), publish_directory(target, overwrite=True):
        pytest.fail("the block must not run")
    assert left(tmp_path) == before


def test_a_directory_that_appears_meanwhile_is_not_lost(tmp_path: Path) -> None:
    target = tmp_path / "one"
    with pytest.raises(UsageError, match="appeared"), publish_directory(target) as work:
        (work / "f").write_text("late")
        target.mkdir()
        (target / "f").write_text("first")
    assert (target / "f").read_text() == "first"
    assert left(tmp_path) == ["one"]


def test_a_process_that_is_killed_publishes_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from gantline.blobs import publish_directory\n"
        "with publish_directory(Path(sys.argv[1])) as work:\n"
        "    (work / 'f').write_text('half'); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "one")], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "one").exists()


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "f.json"
    with publish_file(target) as work:
        work.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert left(target.parent) == ["f.json"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_file_in_the_way(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("old")
    with pytest.raises(UsageError, match="--overwrite"), publish_file(target):
        pytest.fail("the block must not run")
    with pytest.raises(ZeroDivisionError), publish_file(target, overwrite=True) as work:
        work.write_text("new")
        _ = 1 / 0
    assert target.read_text() == "old"
    with publish_file(target, overwrite=True) as work:
        work.write_text("new")
    assert target.read_text() == "new"
    assert left(tmp_path) == ["f"]


def test_a_file_never_takes_the_place_of_a_device(tmp_path: Path) -> None:
    target = tmp_path / "null"
    os.mkfifo(target)
    with pytest.raises(UsageError, match="not a plain file"), publish_file(target, overwrite=True):
        pytest.fail("the block must not run")
    assert target.is_fifo()


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(Unavailable, match="no space left"), publish_directory(tmp_path / "one") as work:
        (work / "f").write_text("x")
        raise full
    with pytest.raises(Unavailable, match="no space left"), publish_file(tmp_path / "two"):
        raise full
    assert left(tmp_path) == []


def test_other_failures_of_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), publish_directory(tmp_path / "one") as work:
        work.write_text("x")
    assert left(tmp_path) == []


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    inside = tmp_path / "file" / "one"
    inside.parent.write_text("x")
    with pytest.raises(UsageError, match=r"cannot be written.*another -o"), publish_directory(inside):
        pytest.fail("the block must not run")
    with pytest.raises(UsageError, match=r"cannot be written.*another -o"), publish_file(inside):
        pytest.fail("the block must not run")
    assert inside.parent.read_text() == "x"
