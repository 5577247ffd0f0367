"""Cores: how many of them this process may use, by its affinity and its container's quota."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "max 100000", or microseconds of quota and period


def usable_cores(quota: Path = _QUOTA) -> int:
    """Whole cores, one at least."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text("ascii").split()
        return max(1, min(cores, int(allowed) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return cores


def cores_each(workers: int) -> int:
    """Whole cores for each of so many workers (0: as many as there are cores), one at least."""
    cores = usable_cores()
    return max(1, cores // (workers or cores))
