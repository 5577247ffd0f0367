"""Promptness: how soon a thread that wakes up gets a core when computing threads hold them all.

Since Linux 6.12 a thread may ask for shorter slices of time than others (sched_setattr(2), sched_runtime of a normal
thread): it gets no more of a core, but gets it sooner, which is what an event loop beside engines needs. Older
kernels take no notice, and where it may not be asked for nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

SLICE_NS = 100_000  # the shortest there is; the usual one is 3 ms
_RESET_ON_FORK = 1  # threads and processes that it starts have the usual ones
_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}  # the call's number
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period


def be_prompt() -> bool:
    """Ask for short slices for the calling thread; whether the kernel took the question."""
    number = _SETATTR.get(platform.machine()) if sys.platform == "linux" else None
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False  # whoever chose a policy for the server knows better
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, _RESET_ON_FORK, nice, 0, SLICE_NS, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, wanted, 0) == 0)
