"""Unfinished: where a registry takes what is left of a large blob, for the process that goes on after this one.

A file for each blob and repository beside a store's blobs, and a lock: a second process sends the blob for itself.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..file_lock import take
from .store import Store

KEPT_S = 7 * 24 * 3600  # as long as registries keep what nobody goes on with
_LONGEST = 1 << 16


class Unfinished:
    """The address of one upload. What is lost or wrong here costs sending again, no more."""

    def __init__(self, path: Path | None) -> None:
        """`path` None: nothing is kept."""
        self._path = path

    @property
    def location(self) -> str:
        """Where to go on; "" where nothing is known."""
        if self._path is None:
            return ""
        with suppress(OSError, UnicodeDecodeError), self._path.open("rb") as f:
            found = f.read(_LONGEST).decode("ascii")
            if found.startswith(("http://", "https://")) and found.endswith("\n") and found.count("\n") == 1:
                return found.strip()
        return ""

    def at(self, location: str) -> None:
        """It goes on there. Only this user may read it: such an address may be all that it takes to write there."""
        if self._path is not None:
            with suppress(OSError):  # a full or read-only disk fails elsewhere
                handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with open(handle, "wb") as f:
                    f.write(f"{location}\n".encode("ascii", "replace"))

    def over(self) -> None:
        """There is nothing to go on with."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


@contextmanager
def unfinished(store: Store, digest: str, repository: str) -> Iterator[Unfinished]:
    """Of a blob on its way into a repository (host and all), if no other process sends it there now."""
    folder = store.root / "unfinished"
    path = folder / hashlib.sha256(f"{repository}@{digest}".encode()).hexdigest()
    lock = None
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        lock = take(path.with_suffix(".lock"))
    try:
        yield Unfinished(path if lock is not None else None)
    finally:
        if lock is not None:
            if not path.exists():
                with suppress(OSError):  # Windows lets nobody remove what is open
                    path.with_suffix(".lock").unlink()
            lock.close()


def sweep(store: Store, now: float | None = None) -> None:
    """Forget what nobody has gone on with for a week."""
    before = (time.time() if now is None else now) - KEPT_S
    with suppress(OSError):
        for path in (store.root / "unfinished").iterdir():
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
