"""Minder: the process that keeps a server that no engine keeps: its log within bounds, its end, and that it runs.

`python -I minder.py [--apart] SEAT BYTES PROGRAM...`, of the standard library alone. It holds the lock of
`SEAT/running` for as long as it lives: numbers of processes come again, locks do not. The log is `SEAT/log` and, when
that is full, `SEAT/log.1`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

RUNNING, PID, LOG, OLDER, ENDED = "running", "pid", "log", "log.1", "ended"
_SET_PDEATHSIG = 1
_PIECE = 1 << 16
_LOOK_S = 0.25


def main(argv: Sequence[str]) -> int:
    """Start the program and stay until it ends; its exit code. Apart: as nobody's child, when the lock is held."""
    apart = argv[0] == "--apart"
    seat, most, *program = argv[1:] if apart else argv
    with open(f"{seat}/{RUNNING}", "a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        number = os.fork() if apart else os.getpid()
        if number:
            with open(f"{seat}/{PID}", "w") as f:
                f.write(str(number))
        if apart and number:
            return 0  # the other has the lock, too
        status = mind(seat, int(most), program)
        with suppress(OSError), open(f"{seat}/{ENDED}", "w") as f:
            f.write(str(status))
    return status if status >= 0 else 128 - status


def mind(seat: str, most: int, program: Sequence[str]) -> int:
    """SIGTERM is passed on; a second one ends the program and all of its processes at once."""
    process = subprocess.Popen(
        program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=_as_ours,  # noqa: PLW1509  # there is one thread here
    )  # fmt: skip
    told = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told += 1
        with suppress(ProcessLookupError):
            if told == 1:
                process.terminate()
            else:
                os.killpg(process.pid, signal.SIGKILL)

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes is no reason to end
    assert process.stdout is not None
    relay(process, process.stdout.fileno(), seat, most)
    status = process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # whatever it has left
    return status


def relay(process: subprocess.Popen[bytes], pipe: int, seat: str, most: int) -> None:
    """Write what comes until nothing more can; a disk that is full loses lines, and stops nobody."""
    log = f"{seat}/{LOG}"
    while True:
        ended = process.poll() is not None
        if not select.select([pipe], [], [], 0.0 if ended else _LOOK_S)[0]:
            if ended:
                return
            continue
        piece = os.read(pipe, _PIECE)
        if not piece:
            return
        with suppress(OSError):
            if os.path.exists(log) and os.path.getsize(log) + len(piece) > most // 2:
                os.replace(log, f"{seat}/{OLDER}")
            with open(log, "ab", buffering=0) as f:
                f.write(piece)


def _as_ours() -> None:
    """In the child: a group of its own, and its end when this process is killed."""
    os.setpgid(0, 0)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
