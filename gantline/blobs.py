"""Content addresses and atomic publishing: a file or directory is there whole, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import Unavailable, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or this user's share of it


def sha256_bytes(data: bytes) -> str:
    """`sha256:<hex>` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """`sha256:<hex>` of a file, read in pieces."""
    with path.open("rb") as f:
        return "sha256:" + hashlib.file_digest(f, "sha256").hexdigest()


def canonical_json(data: Any) -> bytes:
    """One spelling for one value: sorted keys, no spaces, UTF-8, so that digests of it mean something."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


@contextmanager
def publish_directory(target: Path, overwrite: bool = False, kind: str = "manifest.json") -> Iterator[Path]:
    """Yield an empty directory beside `target` that becomes it, by one rename, when the block ends well.

    On an error nothing is left behind. UsageError if `target` exists and `overwrite` is false, or where nothing can be
    written, Unavailable when the disk is full; overwriting takes the place of an earlier directory of its `kind` (the
    file that marks it) or of an empty one, never of anything else.
    """
    target = Path(os.path.abspath(target))
    if os.path.lexists(target):
        if not overwrite:
            raise UsageError(f"{target} exists; choose another -o or pass --overwrite")
        ours = target.is_dir() and not target.is_symlink() and ((target / kind).is_file() or not any(target.iterdir()))
        if not ours:
            raise UsageError(f"{target} exists and has no {kind}: it is not overwritten; remove it first")
    work = _beside(target, lambda prefix, parent: tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=parent))
    try:
        with _room_for(target):
            yield work
            work.chmod(0o755)
            _sync_tree(work)
            if overwrite and target.exists():
                _swap(work, target)
            else:
                _appear(work, target)
            _sync(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def publish_file(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a path beside `target` that becomes it when the block ends well; nothing is left on an error."""
    target = Path(os.path.abspath(target))
    if os.path.lexists(target):
        if not overwrite:
            raise UsageError(f"{target} exists; choose another -o or pass --overwrite")
        if not target.is_file() or target.is_symlink():  # a device, a directory, a link to somewhere else
            raise UsageError(f"{target} exists and is not a plain file: it is not overwritten; remove it first")
    work = _beside(target, _made_file)
    try:
        with _room_for(target):
            yield work
            _sync(work)
            work.chmod(0o644)
            os.replace(work, target)
            _sync(target.parent)
    finally:
        work.unlink(missing_ok=True)


def _beside(target: Path, make: Callable[[str, Path], str]) -> Path:
    """A new file or directory in the target's own folder; UsageError where nothing can be made."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(make(f".{target.name}.", target.parent))
    except OSError as e:
        if e.errno in _FULL:
            raise _no_room(target) from e
        raise UsageError(f"{target} cannot be written: {e.strerror}; choose another -o") from e


def _made_file(prefix: str, parent: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=parent)
    os.close(handle)
    return name


@contextmanager
def _room_for(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if e.errno in _FULL:
            raise _no_room(target) from e
        raise


def _no_room(target: Path) -> Unavailable:
    return Unavailable(
        f"{target} was not written: no space left on its disk, or in {tempfile.gettempdir()}; "
        "free some, or choose another -o (or TMPDIR)"
    )


def _appear(work: Path, target: Path) -> None:
    try:
        work.rename(target)
    except OSError as e:
        if target.exists():
            raise UsageError(f"{target} appeared while it was being written; pass --overwrite") from e
        raise


def _swap(work: Path, target: Path) -> None:
    # rename() does not replace a directory that is not empty: the old one steps aside first and is put back
    # if the second rename fails.
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent)) / "old"
    target.rename(aside)
    try:
        work.rename(target)
    except OSError:
        aside.rename(target)
        raise
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)


def _sync_tree(root: Path) -> None:
    for folder, _, files in os.walk(root):
        for name in files:
            _sync(Path(folder, name))
        _sync(Path(folder))


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return  # Windows does not open directories
    try:
        os.fsync(handle)
    except OSError:
        pass  # not every file system can
    finally:
        os.close(handle)
