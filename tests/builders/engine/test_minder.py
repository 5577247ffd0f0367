"""The process that keeps a server: bounds of the log, its end, and the end of what it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gantline.builders.engine import minder
from gantline.builders.engine.awaiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="images without an engine are for Linux")


def minding(seat: Path, code: str, most: int = 1 << 20) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-I", minder.__file__, str(seat), str(most), sys.executable, "-c", code]
    return subprocess.Popen(words, start_new_session=True)


def test_a_log_within_bounds(tmp_path: Path) -> None:
    with minding(tmp_path, "for i in range(20000): print(f'line {i:06}', flush=i % 100 == 0)", 100_000) as process:
        assert process.wait(60) == 0
    log, older = (tmp_path / minder.LOG).read_text(), (tmp_path / minder.OLDER).read_text()
    assert log.endswith("line 019999\n") and len(log) + len(older) <= 100_000
    lines = (older + log).splitlines()
    assert len(lines) > 3000 and lines[1:] == [f"line {i:06}" for i in range(20000 - len(lines) + 1, 20000)]
    assert (tmp_path / minder.ENDED).read_text() == "0"


def test_its_end_is_that_of_the_program(tmp_path: Path) -> None:
    with minding(tmp_path, "import os; os.kill(os.getpid(), 9)") as process:
        assert process.wait(60) == 137
    assert (tmp_path / minder.ENDED).read_text() == "-9"


def short_lives(seat: Path, steady_s: float) -> subprocess.Popen[bytes]:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(minder.__file__).parent)!r}); import minder;"
        f"minder.STEADY_S = {steady_s}; minder.PAUSE_S = 0.05; raise SystemExit(minder.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-I", "-c", code, "--again", str(seat), "9000", "/bin/sh", "-c", "echo life; exit 3"]
    return subprocess.Popen(words, start_new_session=True)


def test_what_ran_steadily_is_started_again_until_it_is_told_to_end(tmp_path: Path) -> None:
    with short_lives(tmp_path, 0) as process:
        until(lambda: lives(tmp_path) >= 3, 60, lambda: process.poll() is not None, lambda: "", "it")
        process.terminate()
        assert process.wait(60) in (3, 143)  # it had ended, or was ended
    assert "ended (exit status 3); it is started again in 0.05 s" in (tmp_path / minder.LOG).read_text()


def test_what_never_ran_steadily_is_not(tmp_path: Path) -> None:
    with short_lives(tmp_path, 60) as process:
        assert process.wait(60) == 3
    assert (tmp_path / minder.LOG).read_text() == "life\n"


def lives(seat: Path) -> int:
    log = seat / minder.LOG
    return log.read_text().count("life\n") if log.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_it_has_started_ends_with_it(tmp_path: Path, number: int) -> None:
    """Also when it is killed, and cannot say so: the reader of the pipe sees the program's end."""
    out, into = os.pipe()
    os.set_inheritable(into, True)
    code = f"import os, signal; os.write({into}, b'here'); signal.pause()"
    words = [sys.executable, "-c", f"import os, sys; os.set_inheritable({into}, True); exec({code!r})"]
    command = [sys.executable, "-I", "-c", _KEEPING_OPEN.format(into=into), str(tmp_path), "100", *words]
    with subprocess.Popen(command, start_new_session=True, pass_fds=[into]) as process, os.fdopen(out, "rb") as f:
        os.close(into)
        assert f.read(4) == b"here"
        process.send_signal(number)
        assert f.read() == b""
        process.wait(60)


# the minder with a pipe that its program inherits, and nobody else keeps open
_KEEPING_OPEN = (
    "import sys, subprocess, os; from unittest import mock;"
    f"sys.path.insert(0, {str(Path(minder.__file__).parent)!r}); import minder;"
    "popen = subprocess.Popen;"
    "subprocess.Popen = lambda *a, **k: (lambda p: (os.close({into}), p)[1])(popen(*a, pass_fds=[{into}], **k));"
    "raise SystemExit(minder.main(sys.argv[1:]))"
)
