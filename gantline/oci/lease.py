"""Lease: a locked file that says since when a process uses a store: what it touched meanwhile is no garbage.

`<store>/leases/PID-...`; its time is the beginning. The operating system frees the lock of a process that dies.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..file_lock import take
from .store import Store

_TRIES = 10


class Lease:
    """One that is held. Where none could be made (a store to read only, say) it is nothing: nobody collects there."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file = file

    def began(self, at: float) -> None:
        """From now on it counts since `at` (seconds of UTC): for servers, which have no end."""
        if self._file is not None:
            with suppress(OSError):
                os.utime(self._file.name, (at, at))

    def end(self) -> None:
        """Let it go."""
        if self._file is None:
            return
        with suppress(OSError):  # Windows lets nobody remove what is open; `since` does it then
            os.unlink(self._file.name)
        self._file.close()


def lease(store: Store) -> Lease:
    """Take one: all that is written to the store or asked of it from now on stays."""
    folder = store.root / "leases"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        for _ in range(_TRIES):
            handle, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", dir=folder)
            os.close(handle)
            file = take(Path(name))
            if file is None:
                continue  # a collector took it for one of the dead
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(name), os.fstat(file.fileno())):
                    return Lease(file)
            file.close()
    return Lease(None)


@contextmanager
def in_use(store: Store) -> Iterator[Store]:
    """The store, leased until the block ends."""
    held = lease(store)
    try:
        yield store
    finally:
        held.end()


def since(store: Store) -> float:
    """When the oldest of those who use the store began, else now; the leases of the dead are removed."""
    oldest = time.time()
    with suppress(FileNotFoundError):
        for path in list((store.root / "leases").iterdir()):
            with suppress(FileNotFoundError):
                began = path.stat().st_mtime
                dead = take(path)
                if dead is None:
                    oldest = min(oldest, began)
                    continue
                path.unlink(missing_ok=True)
                dead.close()
    return oldest
