"""A server without an engine: whether it runs, its end, its log, and numbers of processes that come again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gantline.builders.engine import minder
from gantline.builders.engine.awaiting import until
from gantline.builders.engine.seat import Seat

from gantline.errors import UsageError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="images without an engine are for Linux")
_CODE = "import signal; print('here', flush=True); signal.pause()"


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    seat = Seat(tmp_path / "seat")
    seat.start([sys.executable, "-c", _CODE], dict(os.environ))
    until(lambda: "here" in seat.log(), 60, lambda: False, seat.log, "it")
    yield seat
    seat.stop()


def test_it_runs_apart_from_this_terminal_until_it_is_stopped(seat: Seat) -> None:
    number = int((seat.folder / "pid").read_text())
    assert seat.runs and os.getsid(number) != os.getsid(0)
    assert _parent(number) != os.getpid()
    seat.stop()
    assert not seat.runs and seat.status == -15
    seat.stop()
    seat.remove()
    assert not seat.folder.exists() and not seat.runs


def _parent(number: int) -> int:
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    seat = Seat(tmp_path / "seat")
    seat.start([str(tmp_path / "absent")], dict(os.environ))
    until(lambda: not seat.runs, 60, lambda: False, seat.log, "it")
    assert "No such file or directory" in seat.log()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        Seat(tmp_path / "file" / "seat").start(["/bin/true"], {})


def test_a_number_that_came_again_is_nobodys(tmp_path: Path) -> None:
    """After a restart of the machine: the file is there, and another process has the number."""
    seat = Seat(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as other:
        (tmp_path / minder.RUNNING).touch()
        (tmp_path / "pid").write_text(str(other.pid))
        assert not seat.runs
        seat.stop()
        assert other.poll() is None
        other.kill()


def test_its_log_and_what_comes(tmp_path: Path) -> None:
    seat = Seat(tmp_path)
    assert list(seat.lines(None, True)) == [] and seat.log() == ""
    (tmp_path / minder.OLDER).write_text("1\n2\n")
    (tmp_path / minder.LOG).write_text("3\n")
    assert list(seat.lines(None, False)) == [b"1\n", b"2\n", b"3\n"] and list(seat.lines(2, True)) == [b"2\n", b"3\n"]
    code = "import sys; sys.stdin.read(1); print('4'); print('5')"
    with subprocess.Popen(
        [sys.executable, "-I", minder.__file__, str(tmp_path), "16", sys.executable, "-c", code]
    ) as process:
        read = b"".join(seat.lines(1, True)) if not process.wait(60) else b""
    assert read == b"5\n"
