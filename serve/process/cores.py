"""Cores: how many of them this process may use, by its affinity and its container's quota."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


def usable_cores(groups: Path = _GROUPS, root: Path = _ROOT) -> int:
    """Whole cores, one at least. `groups` says in which control groups this process is, `root` is where they lie."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(groups, root)])))


def _quotas(groups: Path, root: Path) -> Iterator[float]:
    """Cores by the quotas of this process's groups, and of those around them, which hold for all in them together."""
    with suppress(OSError, UnicodeError):
        for line in groups.read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mounted = root / controllers
            # a container sees its own group as the root, whatever its path is outside
            for folder in {mounted, *(mounted / p for p in _upward(path))}:
                quota = _version_1(folder) if controllers else _version_2(folder)
                if quota is not None:
                    yield quota


def _upward(path: str) -> Iterator[str]:
    parts = [p for p in path.split("/") if p not in ("", "..")]
    yield from ("/".join(parts[: n + 1]) for n in range(len(parts)))


def _version_2(folder: Path) -> float | None:
    try:
        allowed, period = (folder / "cpu.max").read_text("ascii").split()
        return int(allowed) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max 100000": there is none
        return None


def _version_1(folder: Path) -> float | None:
    try:
        allowed = int((folder / "cpu.cfs_quota_us").read_text("ascii"))
        return allowed / int((folder / "cpu.cfs_period_us").read_text("ascii")) if allowed > 0 else None  # -1: none
    except (OSError, ValueError, ZeroDivisionError):
        return None


def cores_each(workers: int) -> int:
    """Whole cores for each of so many workers (0: as many as there are cores), one at least."""
    cores = usable_cores()
    return max(1, cores // (workers or cores))
