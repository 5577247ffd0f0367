"""Seat: one server that no engine keeps, on this machine: its folder, whether it runs, its log and its end. Linux."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gantline.errors import Unavailable, UsageError
from gantline.file_lock import held

from . import minder
from .awaiting import reason

MOST_LOG = 16 << 20  # bytes of log that are kept, older ones go
_STOP_S = 40.0  # what it has accepted is finished
_KILL_S = 5.0
_LOOK_S = 0.1
_TAIL = 64 << 10  # bytes of a log that are read for a reason


@dataclass(frozen=True, slots=True)
class Seat:
    """`folder` holds what `minder` writes."""

    folder: Path

    def start(self, words: Sequence[str], variables: Mapping[str, str], again: bool = False) -> None:
        """Start it, apart from this terminal and this process, whose child it is not. It runs when this returns.

        `again`: and whenever it has ended, once it has run steadily. Unavailable where it cannot be started, UsageError
        where nothing can be written.
        """
        flags = ["--apart", "--again"] if again else ["--apart"]
        command = [sys.executable, "-I", minder.__file__, *flags, str(self.folder), str(MOST_LOG), *words]
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / minder.LOG).open("ab") as log:  # what the minder itself cannot get over
                done = subprocess.run(
                    command, env=dict(variables), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                    start_new_session=True, cwd="/", check=False,
                )  # fmt: skip
        except OSError as e:
            raise UsageError(f"{self.folder}: cannot be written: {e.strerror}; make room, or set GANTLINE_HOME") from e
        if done.returncode != 0:
            raise Unavailable(f"{self.folder}: its server cannot be minded: {reason(self.log())}")

    @property
    def runs(self) -> bool:
        """Whether its minder lives."""
        return held(self.folder / minder.RUNNING)

    @contextmanager
    def _process(self) -> Iterator[int | None]:
        """Its minder by a handle that means no other process, whatever numbers come again; None where it has ended."""
        try:
            handle = os.pidfd_open(int((self.folder / minder.PID).read_text()))
        except (OSError, ValueError):
            yield None
            return
        try:
            yield handle if self.runs else None  # looked at after the handle was taken: so it is the one that runs
        finally:
            os.close(handle)

    def stop(self) -> None:
        """End it, with time to finish what it has accepted; Unavailable where it does not end at all."""
        with self._process() as handle:
            if handle is None:
                return
            for number, seconds in ((signal.SIGTERM, _STOP_S), (signal.SIGTERM, _KILL_S), (signal.SIGKILL, _KILL_S)):
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
                if select.select([handle], [], [], seconds)[0]:
                    return
        raise Unavailable(f"{self.folder}: its process does not end; look at `gantline endpoint logs`")

    def log(self) -> str:
        """The end of its log."""
        with suppress(OSError), (self.folder / minder.LOG).open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - _TAIL))
            return f.read().decode("utf-8", "replace")
        return ""

    def lines(self, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Its log, or the last lines of it, and on request what comes until it ends."""
        log = self.folder / minder.LOG
        kept: deque[bytes] = deque(maxlen=tail)
        with suppress(FileNotFoundError), (self.folder / minder.OLDER).open("rb") as older:
            kept.extend(older)
        try:
            f = log.open("rb")
        except FileNotFoundError:
            yield from kept
            return
        with f:
            kept.extend(f)
            yield from kept
            while follow:
                runs = self.runs
                if piece := f.read():
                    yield piece
                elif not runs:
                    return
                elif _other(log, f.fileno()):
                    f.close()
                    f = log.open("rb")
                else:
                    time.sleep(_LOOK_S)

    @property
    def status(self) -> int | None:
        """The exit status of one that has ended by itself; negative for a signal; None where that is not known."""
        try:
            return int((self.folder / minder.ENDED).read_text())
        except (OSError, ValueError):
            return None

    def remove(self) -> None:
        """Its folder, when it has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _other(path: Path, handle: int) -> bool:
    """Whether a path leads to another file than one that is open."""
    try:
        return os.stat(path).st_ino != os.fstat(handle).st_ino
    except OSError:
        return False
