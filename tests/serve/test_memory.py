"""Memory goes back to the system: watched in a process of its own, since the C library's settings are for good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from gantline.serve import memory

def resident():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) // 1024

memory.settle()
start = resident()
for size in (memory.LARGE, 2 * memory.LARGE, 8 * memory.LARGE):
    block = b"x" * size
    del block
large = resident() - start
small = [b"x" * (100_000 + i) for i in range(1000)]
kept = small[-1]
full = resident() - start
del small
memory.give_back()
print(large, full, resident() - start)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory from /proc")
def test_blocks_large_and_small_go_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    large, full, after = map(int, done.stdout.split())
    assert large < 4, "the large ones at once"
    assert full > 90
    assert after < 10, "the small ones when asked for, though one that came last is kept"
