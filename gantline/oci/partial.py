"""Partial: a blob that has come in part, in a file that the next process goes on with when this one is killed.

`<store>/partial/<hex>`, and a lock beside it: who wants the same blob waits, and finds it there or goes on with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import BadArtefact, Unavailable, VerificationFailed
from ..file_lock import take
from .store import Incoming, Store

KEPT_S = 24 * 3600  # how long a part that nobody goes on with is kept
_WORTH = 1 << 20  # bytes
_LOOK_S = 0.2
_SILENT_S = 180.0  # longer than a registry may ask to wait


class Waited(Exception):
    """Another process has brought the blob."""


@contextmanager
def going_on(store: Store, digest: str, wait: Callable[[float], None]) -> Iterator[Incoming]:
    """Write a blob from where another try has left it; it is in the store when the block ends well.

    A MiB or more that was written stays for the next try, unless it is wrong or the disk is full. `wait` waits some
    seconds, or raises.
    Waited, before the block, if the blob is there; errors as of `Store.receive`, and Unavailable if another holds it.
    """
    path = _folder(store) / digest.removeprefix("sha256:")
    try:
        path.parent.mkdir(exist_ok=True)
        lock = _locked(path.with_suffix(".lock"), wait)
    except OSError as e:
        raise store.unwritable(e) from e
    try:
        if store.has(digest):
            raise Waited
        with _opened(store, path) as incoming:
            yield incoming
        if incoming.digest != digest:
            path.unlink()
            raise VerificationFailed(f"digest {incoming.digest} of {incoming.size} bytes, expected {digest}")
        path.chmod(0o644)
        os.replace(path, store.path(digest))
    finally:
        with suppress(OSError):  # Windows lets nobody remove what is open; `sweep` does it then
            path.with_suffix(".lock").unlink()
        lock.close()


@contextmanager
def _opened(store: Store, path: Path) -> Iterator[Incoming]:
    little = False
    try:
        with path.open("a+b") as f:
            incoming = Incoming(f)
            incoming.take_in()
            try:
                yield incoming
            finally:
                little = incoming.size < _WORTH
            f.flush()
            os.fsync(f.fileno())
    except (BadArtefact, VerificationFailed):
        path.unlink(missing_ok=True)
        raise
    except OSError as e:
        path.unlink(missing_ok=True)  # others may need the room
        raise store.unwritable(e) from e
    except BaseException:
        if little:
            path.unlink(missing_ok=True)
        raise


def kept(store: Store, digest: str) -> int:
    """Bytes of a blob that an earlier try has left."""
    return _size(_folder(store) / digest.removeprefix("sha256:"))


def sweep(store: Store, now: float | None = None) -> None:
    """Remove what nobody has gone on with for a day."""
    before = (time.time() if now is None else now) - KEPT_S
    with suppress(OSError):
        for path in _folder(store).iterdir():
            lock_path = path.with_suffix(".lock")
            if path.stat().st_mtime >= before or (lock := take(lock_path)) is None:
                continue
            path.unlink(missing_ok=True)
            lock_path.unlink(missing_ok=True)
            lock.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _folder(store: Store) -> Path:
    return store.root / "partial"


def _locked(path: Path, wait: Callable[[float], None]) -> IO[bytes]:
    """The lock of a file that has this name: whoever had it before may have removed it while we waited."""
    data, looks, size = path.with_suffix(""), 0, -1
    while looks * _LOOK_S < _SILENT_S:
        lock = take(path)
        if lock is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(lock.fileno())):
                    return lock
            lock.close()
            continue
        found = _size(data)
        looks, size = (looks + 1 if found == size else 0), found
        wait(_LOOK_S)
    raise Unavailable(f"{data}: another process is getting it, and has got nothing for {_SILENT_S:.0f} s; end that one")
