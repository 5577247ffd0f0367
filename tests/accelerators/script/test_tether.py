"""A tied process group dies with the process that tied it, in real processes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from gantline.accelerators.script.tether import Tether

from .conftest import open_files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals by O_ASYNC are Linux's")

# a shell that has started another process; both keep the pipe of its standard output open
GROUP = ["sh", "-c", "sleep 300 & echo ready; wait"]
SERVER = f"""
import os, subprocess, sys
from gantline.accelerators.script.tether import Tether
group = subprocess.Popen({GROUP!r}, start_new_session=True)
tether = Tether(group.pid)
sys.stdout.write("tied\\n")  # in one piece, unlike print
sys.stdout.flush()
sys.stdin.read()
"""


def wait_for_end(process: subprocess.Popen[str]) -> None:
    """Until nobody holds its output open any longer: all that wrote to it are dead."""
    assert process.stdout is not None
    assert process.stdout.read() == ""


def test_all_die_when_the_one_who_tied_them_is_killed() -> None:
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            assert sorted([server.stdout.readline(), server.stdout.readline()]) == ["ready\n", "tied\n"]
            server.send_signal(signal.SIGKILL)
            wait_for_end(server)


def test_letting_go_ends_them_and_gives_the_files_back() -> None:
    before = open_files()
    with subprocess.Popen(GROUP, stdout=subprocess.PIPE, text=True, start_new_session=True) as group:
        assert group.stdout is not None and group.stdout.readline() == "ready\n"
        tether = Tether(group.pid)
        tether.close()
        wait_for_end(group)
        assert group.wait(20) == -signal.SIGKILL
        tether.close()
    assert not open_files() - before


def test_a_group_that_is_none_is_an_error_without_a_leak() -> None:
    before = open_files()
    with pytest.raises(OSError, match="No such process"):
        Tether(2**22 - 7)
    assert not open_files() - before
