"""Nothing that Python or C writes gets out, and afterwards everything does again."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys, warnings
from gantline.builders.silence import silence
print("before")
with silence():
    print("python"); sys.stderr.write("python"); os.write(1, b"c"); os.write(2, b"c"); warnings.warn("w")
print("after"); sys.stderr.write("again")
"""


def test_nothing_is_said_inside() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("before\nafter\n", "again")
