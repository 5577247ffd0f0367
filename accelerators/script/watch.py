"""Watch: the host's own limits: time, memory, an answer that nobody wants, and living as long as the server does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from time import monotonic
from types import FrameType, TracebackType


class OutOfTime(BaseException):
    """run() took longer than it may. Not an Exception, so that a script's `except Exception` does not swallow it."""


class NobodyWaits(BaseException):
    """The deadline has passed, or the client has left: raised inside run() or infer(). `finally` runs, and `with`."""


# "look whether anybody waits still"; a process that does not listen for it never notices it (not on Windows)
UNWANTED: int = getattr(signal, "SIGURG", 0)


class Alarm:
    """`with alarm:` raises OutOfTime in the main thread when the block takes too long.

    One timer for many blocks: it is set when none is running and looks at the current block's end when it fires, so
    that a short block costs no system call. Code that holds the interpreter is killed by the server instead.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = 0.0  # of the current block; 0: none
        self._armed = False
        self._asked = False  # to look, between two blocks
        self.unwanted: Callable[[], bool] = _wanted  # whether nobody waits for what the current block computes
        signal.signal(signal.SIGALRM, self._fired)
        signal.signal(UNWANTED, self._look)

    def __enter__(self) -> None:
        if self._asked:
            self._asked = False
            if self.unwanted():
                raise NobodyWaits
        self._end = monotonic() + self.seconds
        if not self._armed:
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._end = 0.0

    def _fired(self, number: int, frame: FrameType | None) -> None:
        left = self._end - monotonic()
        if not self._end:
            self._armed = False
        elif left > 0:
            signal.setitimer(signal.ITIMER_REAL, left)
        else:
            self._armed = False
            self._end = 0.0
            raise OutOfTime

    def _look(self, number: int, frame: FrameType | None) -> None:
        # between two blocks the channel may be in use, and there is nothing to stop
        if not self._end:
            self._asked = True
        elif self.unwanted():
            self._end = 0.0
            raise NobodyWaits


def _wanted() -> bool:
    return False


def die_with_parent(parent: int) -> None:
    """Be killed when the server dies, even by SIGKILL, even in the middle of run(). Linux only.

    Elsewhere the closed socket ends the host at its next answer.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)  # it died before we asked


def heed_no_signal() -> None:
    """Leave it to the server when to end: whoever stops a service may send its signal to every process of it.

    What this process starts is not deaf: a copy of it has the handlers from before, another program the system's.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = {one: signal.signal(one, _heedless) for one in numbers if signal.getsignal(one) is not signal.SIG_IGN}

    def restore() -> None:
        for one, handler in before.items():
            if signal.getsignal(one) is _heedless:  # else the script has its own
                signal.signal(one, handler)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=restore)


def _heedless(number: int, frame: FrameType | None) -> None:
    """A handler and not SIG_IGN, which what the script starts would inherit."""


def limit_memory(size: int) -> None:
    """Bound the address space, in bytes; allocations beyond it raise MemoryError. 0: no limit."""
    if size > 0:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
