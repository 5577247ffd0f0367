"""Commands that are measured: what they print, however much, and whatever they leave running."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from measuring import output_of


def test_more_than_a_pipe_holds_on_both_sides() -> None:
    code = "import sys; sys.stderr.write('e' * 300_000); sys.stdout.write('o' * 300_000)"
    assert output_of([sys.executable, "-c", code]) == "o" * 300_000


def test_nobody_waits_for_what_a_command_leaves_running() -> None:
    began = time.monotonic()
    left = int(output_of(["sh", "-c", "sleep 20 & echo $!"]))
    took = time.monotonic() - began
    os.kill(left, signal.SIGKILL)
    assert took < 10


def test_what_fails_or_takes_too_long_is_told_with_its_last_words() -> None:
    with pytest.raises(RuntimeError, match=r"^podman build: exit code 3: no space$"):
        output_of(["sh", "-c", "echo no space >&2; exit 3"], os.environ, "podman build")
    with pytest.raises(RuntimeError, match=r"^sh: not done within 0.2 s: half way$"):
        output_of(["sh", "-c", "echo half way; exec sleep 20"], within_s=0.2)


def test_nothing_is_asked_of_a_person() -> None:
    assert output_of(["cat"]) == ""
