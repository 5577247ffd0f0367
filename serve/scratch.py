"""Scratch: temporary directories that go when their process is gone, even if it was killed: the next server sees to it.

A directory has a file that its process keeps locked. The system lets go of the lock with the process, whatever ended it
and whatever process has its number by now; nothing else tells that for sure, across containers that share a disk, too.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing swept
    fcntl = None  # type: ignore[assignment]

OURS = "gantline-"  # their names begin so
LOCK = ".lock"
SHORT = "/tmp"
_SOCKET_PATH = 103  # bytes: macOS has the shortest
_RANDOM = 10  # what mkdtemp adds to a prefix, and two slashes
_locks: dict[Path, int] = {}  # open files of the directories that are ours


def make_scratch(prefix: str, socket: int = 0) -> Path:
    """A new directory with a name that begins so; `remove_scratch` removes it. OSError when there is no room.

    `socket`: the length of the longest name that a Unix socket in it will have. Their paths are bounded, and TMPDIR may
    be long: then it is made in /tmp.
    """
    assert prefix.startswith(OURS), prefix
    place = tempfile.gettempdir()
    long = socket and len(os.fsencode(place)) + len(prefix) + _RANDOM + socket > _SOCKET_PATH
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=SHORT if long else place))
    if fcntl is not None:
        file = os.open(folder / f"{LOCK}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.rename(folder / f"{LOCK}.new", folder / LOCK)  # nobody sees it unlocked
        except OSError:  # a disk without locks: it is left alone
            os.close(file)
        else:
            _locks[folder] = file
    return folder


def remove_scratch(folder: Path) -> None:
    """Remove a directory, as far as that can be."""
    shutil.rmtree(folder, ignore_errors=True)
    file = _locks.pop(folder, None)
    if file is not None:
        os.close(file)


def sweep() -> list[Path]:
    """Remove what processes of ours have left that are gone; those directories."""
    if fcntl is None:
        return []
    found = []
    for place in {tempfile.gettempdir(), SHORT}:
        with suppress(OSError):
            for entry in os.scandir(place):
                if entry.name.startswith(OURS) and entry.is_dir(follow_symlinks=False) and _left(entry):
                    found.append(Path(entry.path))
    return found


def _left(entry: os.DirEntry[str]) -> bool:
    """Remove a directory whose process is gone; whether it was one."""
    try:
        if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
            return False
        file = os.open(Path(entry.path, LOCK), os.O_WRONLY | os.O_NOFOLLOW)
    except OSError:  # none of ours, or somebody else was faster
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry.path, ignore_errors=True)
    except OSError:
        return False  # its process lives
    finally:
        os.close(file)
    return True
