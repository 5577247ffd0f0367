"""Scratch directories, and the processes that leave them behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from gantline.serve import scratch
from gantline.serve.scratch import LOCK, OURS, make_scratch, remove_scratch, sweep

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks files as POSIX does")
PROGRAM = """
import sys
from gantline.serve import scratch
from gantline.serve.scratch import make_scratch
print(make_scratch("gantline-test-"), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For this process and those that it starts, a temporary directory of the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "SHORT", str(tmp_path))
    return tmp_path


def test_sockets_find_room_where_the_temporary_directory_is_deep(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = place / ("d" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert make_scratch("gantline-test-").parent == deep
    folder = make_scratch("gantline-test-", 27)
    assert folder.parent == place
    with tempfile.TemporaryDirectory(dir="/tmp") as near:
        monkeypatch.setattr(tempfile, "tempdir", near)
        assert make_scratch("gantline-test-", 27).parent == Path(near)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(make_scratch("gantline-test-", 27) / ("s" * 27)))


def test_it_is_ours_until_it_is_removed(place: Path) -> None:
    folder = make_scratch("gantline-test-")
    (folder / "model").mkdir()
    assert folder.parent == place and sweep() == [] and folder.is_dir()
    remove_scratch(folder)
    assert list(place.iterdir()) == []
    remove_scratch(folder)


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_bytes(b"1")
        assert folder.parent == place and sweep() == [] and folder.is_dir()
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert sweep() == [folder] and not folder.exists()


def test_what_is_not_ours_stays(place: Path) -> None:
    """Without a lock, without the name, a link, or somebody else's."""
    (place / f"{OURS}plain").mkdir()
    (place / "other").mkdir()
    (place / "other" / LOCK).touch()
    (place / f"{OURS}link").symlink_to(place / "other")
    foreign = place / f"{OURS}foreign"
    foreign.mkdir()
    (foreign / LOCK).touch()
    if os.geteuid() == 0:
        os.chown(foreign, 12345, 12345)
    else:
        (foreign / LOCK).unlink()
    before = sorted(place.rglob("*"))
    assert sweep() == [] and sorted(place.rglob("*")) == before
