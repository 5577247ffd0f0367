"""Memory: how much of it this process may use, by the machine and its container's limit."""

from __future__ import annotations

import os
from pathlib import Path

_LIMIT = Path("/sys/fs/cgroup/memory.max")  # cgroup v2: "max", or bytes
_UNKNOWN = 4 << 30


def usable_memory(limit: Path = _LIMIT) -> int:
    """Bytes."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        there = _UNKNOWN
    try:
        return min(there, int(limit.read_text("ascii")))
    except (OSError, ValueError):
        return there
