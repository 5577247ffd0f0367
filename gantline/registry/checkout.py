"""Checkouts: packages of a registry as directories on this machine, where the verbs and servers find them.

`home()/packages/<digest>/NAME-VERSION/VERSION`: a version is a numbered package, so a server of the directory above it
says the registry's number. Files are hard links to blobs where the disk allows it, and were hashed on the way. Whoever
uses a checkout holds a lease of its digest: a locked file, which the operating system frees when the process ends.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..blobs import canonical_json
from ..errors import GantlineError, Unavailable, Unsupported, UsageError
from ..file_lock import only_one, take
from ..home import home
from ..packages import LINEAGE, SEALED, Package
from .blob_store import BlobStore
from .version import Stored, Version

_FULL = (28, 122)  # ENOSPC, EDQUOT


@dataclass(slots=True)
class _Lease:
    """A locked file, and how often this process has asked for the checkout and not let it go."""

    file: IO[bytes]
    users: int = 1


_LEASES: dict[Path, _Lease] = {}  # of this process


def check_out(version: Version, files: Sequence[Stored], blobs: BlobStore) -> Path:
    """The package's directory, made if need be; this process uses its digest until it lets go, or ends."""
    with _told(), _alone(version.digest):
        _hold(version.digest)
        try:
            return _made(version, files, blobs)
        except BaseException:
            _drop(version.digest)
            raise


def let_go(digest: str) -> None:
    """Take back one `check_out`: when all are, garbage collection may have the directory and its blobs."""
    with _told(), _alone(digest):
        _drop(digest)


def _made(version: Version, files: Sequence[Stored], blobs: BlobStore) -> Path:
    folder = _folder(version.digest) / f"{version.name}-{version.version}"
    target = folder / str(version.version)
    if _whole(target, version.digest, files):
        return target
    for left in (target, *folder.glob(".incoming.*")):  # damaged, or of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".incoming.", dir=folder))
    try:
        _fill(work, version, files, blobs)
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _fill(work: Path, version: Version, files: Sequence[Stored], blobs: BlobStore) -> None:
    for file in files:
        place = work / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        blobs.fetch(file.digest, place)
    lineage = {**version.lineage, SEALED: version.digest}
    (work / LINEAGE).write_bytes(canonical_json(lineage) + b"\n")


def _whole(target: Path, digest: str, files: Sequence[Stored]) -> bool:
    """Whether all files are there in their size; `gantline verify` hashes them again."""
    try:
        same = Package.open(target).digest == digest
        return same and all((target / f.path).stat().st_size == f.size for f in files)
    except (OSError, GantlineError):
        return False


def held(digest: str, make: Callable[[Path], object]) -> Path:
    """The directory of a digest that is no version's; `make` makes it, once. This process uses it from now on."""
    with _told(), _alone(digest):
        _hold(digest)
        target = _folder(digest)
        if not target.is_dir():
            make(target)
        return target


def leased() -> set[str]:
    """The digests that some process on this machine uses; leases of processes that are gone are removed."""
    found = set()
    for digest in _digests(home() / "leases"):
        with _told(), _alone(digest):
            if _in_use(digest):
                found.add(digest)
    return found


def checked_out() -> list[str]:
    """The digests that have a directory."""
    return list(_digests(home() / "packages"))


def remove(digest: str) -> bool:
    """Remove a digest's directory, unless it is in use; whether it was."""
    with _told(), _alone(digest):
        if _in_use(digest):
            return False
        shutil.rmtree(_folder(digest), ignore_errors=True)
        return True


def _digests(folder: Path) -> Iterator[str]:
    with suppress(FileNotFoundError):
        yield from sorted("sha256:" + e.name for e in os.scandir(folder) if e.is_dir() and len(e.name) == 64)


def _folder(digest: str) -> Path:
    return home() / "packages" / digest.removeprefix("sha256:")


@contextmanager
def _alone(digest: str) -> Iterator[None]:
    """One process at a time makes, leases or removes a digest's directory."""
    folder = _folder(digest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with only_one(folder.with_name(folder.name + ".lock")):
        yield


def _hold(digest: str) -> None:
    folder = _leases(digest)
    if (known := _LEASES.get(folder)) is not None:
        known.users += 1
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", dir=folder)
    os.close(handle)
    lease = take(Path(name))
    if lease is None:
        raise Unsupported(f"{name}: cannot be locked; set GANTLINE_HOME to another disk")
    if not _LEASES:
        atexit.register(_let_all_go)
    _LEASES[folder] = _Lease(lease)


def _drop(digest: str) -> None:
    lease = _LEASES.get(_leases(digest))
    if lease is None:
        return
    lease.users -= 1
    if not lease.users:
        del _LEASES[_leases(digest)]
        lease.file.close()
        _in_use(digest)  # which removes the file


def _let_all_go() -> None:
    while _LEASES:
        _LEASES.popitem()[1].file.close()


def _leases(digest: str) -> Path:
    return home() / "leases" / digest.removeprefix("sha256:")


def _in_use(digest: str) -> bool:
    folder = _leases(digest)
    used = False
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            lock = take(path)
            if lock is None:
                used = True
                continue
            lock.close()
            path.unlink(missing_ok=True)
    if not used:
        with suppress(OSError):
            folder.rmdir()
    return used


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if e.errno in _FULL:
            raise Unavailable(f"{home()}: no space left on its disk; free some, or set GANTLINE_HOME to another") from e
        raise UsageError(f"{home()}: cannot be written: {e.strerror}; set GANTLINE_HOME to another place") from e
