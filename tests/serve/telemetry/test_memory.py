"""What models hold, as the system tells it, or their files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gantline.accelerators.session import Session
from gantline.serve.telemetry.memory import memory_of, own_memory

from gantline.packages import Package


def test_a_process_that_holds_something() -> None:
    """64 MiB that it has written to are its own; a process that is gone has none."""
    code = "import sys; b = bytearray(b'x' * (64 << 20)); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"1\n"
        assert 64 << 20 < own_memory(child.pid) < 300 << 20
        child.communicate()
    assert own_memory(child.pid) == 0


def test_a_model_in_this_process_holds_at_least_its_file(zoo: Path) -> None:
    path = zoo / "toil.onnx"
    session = Session.open(Package.bare(path, "toil"))
    try:
        assert memory_of(session) == os.path.getsize(path) > 256 * 256 * 4
    finally:
        session.close()
