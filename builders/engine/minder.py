"""Minder: the process that keeps a server that no engine keeps: its log within bounds, its end, and that it runs.

`python -I minder.py [--apart] [--again] SEAT BYTES PROGRAM...`, of the standard library alone. It holds the lock of
`SEAT/running` for as long as it lives: numbers of processes come again, locks do not. The log is `SEAT/log` and, when
that is full, `SEAT/log.1`. With `--again` a program that has once run steadily is started anew whenever it ends.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

RUNNING, PID, LOG, OLDER, ENDED = "running", "pid", "log", "log.1", "ended"
STEADY_S = 10.0  # it has lived so long: whatever ends it is not how it was started
PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0  # before it is started again; doubled while it does not run steadily
_SET_PDEATHSIG = 1
_PIECE = 1 << 16
_LOOK_S = 0.25


def main(argv: Sequence[str]) -> int:
    """Start the program and stay until it ends; its exit code. Apart: as nobody's child, when the lock is held."""
    import fcntl  # Windows has none, and looks up names here

    flags = [word for word in argv[:2] if word in ("--apart", "--again")]
    seat, most, *program = argv[len(flags) :]
    apart = "--apart" in flags
    with open(f"{seat}/{RUNNING}", "a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        number = os.fork() if apart else os.getpid()
        if number:
            with open(f"{seat}/{PID}", "w") as f:
                f.write(str(number))
        if apart and number:
            return 0  # the other has the lock, too
        status = Minder(seat, int(most), program).keep("--again" in flags)
        with suppress(OSError), open(f"{seat}/{ENDED}", "w") as f:
            f.write(str(status))
    return status if status >= 0 else 128 - status


class Minder:
    """One program, and the same again. SIGTERM is passed on; a second one ends it and all of its processes at once."""

    def __init__(self, seat: str, most: int, program: Sequence[str]) -> None:
        self._seat = seat
        self._most = most
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._told = 0

    def keep(self, again: bool) -> int:
        """Until it has ended, or with `again` until it is told to; the exit status."""
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes is no reason to end
        pause, steady = PAUSE_S, False
        while True:
            began = time.monotonic()
            status = self._life()
            lived = time.monotonic() - began >= STEADY_S
            steady = steady or lived
            if self._told or not again or not steady:
                return status
            pause = PAUSE_S if lived else min(2 * pause, LONGEST_PAUSE_S)
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            write(self._seat, self._most, f"the server ended ({how}); it is started again in {pause:g} s\n".encode())
            if self._wait(pause):
                return status

    def _life(self) -> int:
        self._process = process = subprocess.Popen(
            self._program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=_as_ours,  # noqa: PLW1509  # there is one thread here
        )  # fmt: skip
        if self._told:  # while it was being started
            process.terminate()
        assert process.stdout is not None
        with process.stdout:
            relay(process, process.stdout.fileno(), self._seat, self._most)
        status = process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever it has left
        return status

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._told += 1
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if self._told == 1:
                process.terminate()
            else:
                os.killpg(process.pid, signal.SIGKILL)

    def _wait(self, seconds: float) -> bool:
        """Whether it was told to end meanwhile."""
        end = time.monotonic() + seconds
        while not self._told and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
        return bool(self._told)


def relay(process: subprocess.Popen[bytes], pipe: int, seat: str, most: int) -> None:
    """Write what comes until nothing more can; a disk that is full loses lines, and stops nobody."""
    while True:
        ended = process.poll() is not None
        if not select.select([pipe], [], [], 0.0 if ended else _LOOK_S)[0]:
            if ended:
                return
            continue
        piece = os.read(pipe, _PIECE)
        if not piece:
            return
        write(seat, most, piece)


def write(seat: str, most: int, piece: bytes) -> None:
    """Into the log; one that is half of `most` bytes gives way to a new one."""
    log = f"{seat}/{LOG}"
    with suppress(OSError):
        if os.path.exists(log) and os.path.getsize(log) + len(piece) > most // 2:
            os.replace(log, f"{seat}/{OLDER}")
        with open(log, "ab", buffering=0) as f:
            f.write(piece)


def _as_ours() -> None:
    """In the child: a group of its own, and its end when this process is killed."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
