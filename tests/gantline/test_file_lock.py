"""Locks between real processes."""

from __future__ import annotations

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gantline.file_lock import has_locks, held, only_one

HOLDER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from gantline.file_lock import only_one
with only_one(Path(sys.argv[1]), lambda: print("waiting", flush=True)):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as first:
        assert said(first) == "held"
        with holder(path) as second:
            assert said(second) == "waiting"
            first.communicate("go on\n", 20)
            assert said(second) == "held"
            second.communicate("go on\n", 20)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        assert said(process) == "held"
        process.kill()
        process.communicate(timeout=20)
    waited: list[bool] = []
    with only_one(path, lambda: waited.append(True)):
        assert not waited
    assert path.exists(), "removed, two processes could lock two files of one name"


def test_who_asks_has_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not held(path) and not path.exists()
    with holder(path) as process:
        assert said(process) == "held" and held(path)
        process.communicate("go on\n", 20)
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(held, [path] * 2000))


@pytest.mark.skipif(sys.platform == "win32", reason="its locks are of another kind, and every disk has them")
def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refused(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with only_one(tmp_path / "lock"):
        assert has_locks(tmp_path / "lock"), "held, and so a lock"
    assert has_locks(tmp_path / "none" / "lock"), "nothing to be said of it"
    monkeypatch.setattr(fcntl, "flock", refused)
    assert not has_locks(tmp_path / "lock")
