"""Tether: the kernel kills a host and all that it started when the server dies, however it dies. Linux only.

PR_SET_PDEATHSIG (watch.py) reaches the host alone; what the script has started would live on. So there is a pipe that
only the server can write to, and never does: when its last end is closed, the kernel sends SIGKILL to the whole process
group that the other end is owned by (fcntl's O_ASYNC, F_SETOWN and F_SETSIG).
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


class Tether:
    """One host's. A process that has left the host's group (setsid, a daemon) is out of reach."""

    def __init__(self, group: int) -> None:
        """Tie a process group to this process. OSError where that is not possible."""
        self._files: tuple[int, ...] = ()
        if sys.platform != "linux":
            return
        import fcntl

        # a dying process lets go of its files in the opposite order of their numbers (Linux since 4.3), and the end
        # that has the owner must be there when the other closes: it is the lower one
        reading, end = os.pipe()
        writing = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, reading + 1)
        os.close(end)
        self._files = (writing, reading)
        try:
            fcntl.fcntl(reading, fcntl.F_SETOWN, -group)
            fcntl.fcntl(reading, fcntl.F_SETSIG, int(signal.SIGKILL))
            fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let go: the group, when there still is one, dies."""
        for file in self._files:
            with suppress(OSError):
                os.close(file)
        self._files = ()
