"""A file's lock: one process at a time; the operating system frees the lock of a process that dies."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import Unsupported


@contextmanager
def only_one(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of `path`, which is made if need be; `waiting` is called when another process has it.

    Unsupported where the disk has no locks. The file stays: a third process could else lock another of its name.
    """
    with path.open("a+b") as f:
        if not _lock(f.fileno(), path, wait=False):
            waiting()
            _lock(f.fileno(), path, wait=True)
        yield


def take(path: Path) -> IO[bytes] | None:
    """Lock `path`, made if need be, until what is returned is closed; None when another has it."""
    f = path.open("a+b")
    if _lock(f.fileno(), path, wait=False):
        return f
    f.close()
    return None


def held(path: Path) -> bool:
    """Whether a process has the lock of `path`. Two that ask at once do not take each other for one that has it."""
    try:
        with path.open("a+b") if sys.platform == "win32" else path.open("rb") as f:
            return not _lock(f.fileno(), path, wait=False, shared=True)
    except FileNotFoundError:
        return False


def has_locks(path: Path) -> bool:
    """Whether the disk of `path`, which is made if need be, has locks; True where that cannot be said."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        with path.open("a+b") as f:
            fcntl.flock(f.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        return e.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
    return True


def _lock(handle: int, path: Path, wait: bool, shared: bool = False) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as e:
        if wait:
            raise Unsupported(f"{path}: cannot be locked ({e.strerror}); set GANTLINE_HOME to another disk") from e
        return False
    return True
