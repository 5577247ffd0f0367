"""Vitals: how the serving process itself is: memory, CPU, files, threads, and how late its event loop comes round."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

from .histogram import Histogram
from .memory import PAGE
from .snapshot import Snapshot, add

TICK_S = 0.1  # between two ticks, as the server asks for them
_HERTZ = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Vitals:
    """Read when asked; only the loop's lag is watched all the time, by `tick`."""

    def __init__(self) -> None:
        self.lag = Histogram()
        self._last_ns = 0

    def tick(self, now_ns: int) -> None:
        """To be called TICK_S after the last call: what comes on top is lag."""
        if self._last_ns:
            self.lag.observe(max(now_ns - self._last_ns - round(TICK_S * 1e9), 0))
            self.lag.settle()
        self._last_ns = now_ns

    def read(self, out: Snapshot) -> None:
        """Add the process's rows; those that this system does not tell are left out."""
        add(out, "gantline_event_loop_lag_seconds", self.lag.to_json())
        add(out, "process_cpu_seconds", time.process_time_ns())
        add(out, "process_threads", threading.active_count())
        with contextlib.suppress(OSError):
            size, resident = map(int, Path("/proc/self/statm").read_bytes().split()[:2])
            add(out, "process_virtual_memory_bytes", size * PAGE)
            add(out, "process_resident_memory_bytes", resident * PAGE)
            add(out, "process_open_fds", len(os.listdir("/proc/self/fd")) - 1)  # without the one that lists them
            add(out, "process_start_time_seconds", _started_ns())
        with contextlib.suppress(ImportError):  # Windows
            import resource

            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            if soft != resource.RLIM_INFINITY:
                add(out, "process_max_fds", soft)


def _started_ns() -> int:
    """When this process began, in ns since 1970: clock ticks since the system did, and when that was."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    boot = next(int(x.split()[1]) for x in Path("/proc/stat").read_text().splitlines() if x.startswith("btime"))
    return boot * 10**9 + ticks * 10**9 // _HERTZ
