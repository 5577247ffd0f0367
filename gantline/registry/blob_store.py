"""Blob store: where a registry's blobs are. One small protocol: a store on this machine, or any fsspec file system."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..blobs import sha256_file
from ..errors import NotFound, UsageError, VerificationFailed
from ..oci import partial, unfinished
from ..oci.origins import Origins
from ..oci.store import ASIDE, INCOMING, WRITING, Store, damaged
from .place import Place

_CHUNK = 1 << 20
_GOING = ".going."  # begins the name of a blob that is being removed


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob that is there. `size` in bytes; `modified` in microseconds of UTC, None where nobody knows."""

    digest: str
    size: int
    modified: int | None


class BlobStore(Protocol):
    """Blobs by digest: there whole or not at all."""

    def has(self, digest: str, size: int) -> bool:
        """Whether a blob of this size is there; what is in it is looked at when it is read."""
        ...

    def put(self, digest: str, size: int, source: Path) -> None:
        """Keep a file, unless it is there. VerificationFailed if it has another digest."""
        ...

    def fetch(self, digest: str, target: Path) -> None:
        """Bring a blob to a path where nothing is. NotFound; VerificationFailed for other bytes than were kept."""
        ...

    def blobs(self) -> Iterator[Blob]:
        """All that is there."""
        ...

    def remove(self, digest: str, before: int) -> bool:
        """Forget a blob, unless it was written or asked for since `before`; whether it was there and is gone."""
        ...

    def sweep(self, before: int) -> None:
        """Remove what writers left that were killed before a moment."""
        ...


def open_blobs(said: str, place: Place) -> BlobStore:
    """By what a registry says of its blobs: a directory (relative to its own), or a URL that fsspec takes."""
    if not said:
        raise UsageError(
            f"registry {place}: has no place for blobs; type: gantline registry init --registry URL --blobs s3://BUCKET/..."
        )
    scheme, colon, rest = said.partition("://")
    if not colon or scheme == "file":
        path = Path(rest if colon else said)
        root = place.file.parent / path if place.file is not None else path
        return LocalBlobs(Store(root))
    from .remote_blobs import RemoteBlobs

    return RemoteBlobs(said)


class LocalBlobs:
    """The blobs of a store on this machine. Images may be in the same store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __str__(self) -> str:
        return str(self.store.root)

    def has(self, digest: str, size: int) -> bool:
        return self.store.has(digest) and self.store.path(digest).stat().st_size == size

    def put(self, digest: str, size: int, source: Path) -> None:
        if self.has(digest, size):
            return
        with source.open("rb") as f, self.store.prepared().receive(digest) as out:
            shutil.copyfileobj(f, out, _CHUNK)

    def fetch(self, digest: str, target: Path) -> None:
        """By a hard link where the disk allows it: a package costs no room twice, and is not to be written to."""
        path = self.store.path(digest)
        try:
            found = sha256_file(path)
        except FileNotFoundError as e:
            raise NotFound(f"{self}: has no blob {digest}; register its package again") from e
        if found != digest:
            damaged(path)
            raise VerificationFailed(f"{path}: not the bytes that its name says; register its package again")
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
        if os.name == "posix":  # elsewhere what is read only cannot be removed
            with suppress(PermissionError):  # somebody else's, who alone may change it
                target.chmod(0o444)

    def blobs(self) -> Iterator[Blob]:
        folder = self.store.root / "blobs" / "sha256"
        with suppress(FileNotFoundError), os.scandir(folder) as found:
            for entry in found:
                if not entry.name.startswith("."):
                    about = entry.stat()
                    yield Blob("sha256:" + entry.name, about.st_size, about.st_mtime_ns // 1000)

    def remove(self, digest: str, before: int) -> bool:
        path = self.store.path(digest)
        going = path.with_name(_GOING + path.name)
        try:
            if _written(path) >= before:
                return False
            os.replace(path, going)  # who asks from here on does not find it
            if _written(going) >= before:  # and who did so since we looked has it back
                os.replace(going, path)
                return False
            going.unlink()
        except FileNotFoundError:
            return False
        return True

    def sweep(self, before: int) -> None:
        """Also what was damaged and set aside, uploads to a server of the store, and halves of other writers."""
        partial.sweep(self.store)
        unfinished.sweep(self.store)
        Origins(self.store).sweep()
        blobs = self.store.root / "blobs" / "sha256"
        for path in (*_hidden(blobs), *_hidden(self.store.root)):
            name = path.name
            with suppress(OSError):
                if name.startswith(_GOING) and not (back := path.with_name(name.removeprefix(_GOING))).exists():
                    os.replace(path, back)  # of a collector that was killed: the next one looks again
                elif name.startswith((INCOMING, ASIDE, _GOING, WRITING)) and _written(path) < before:
                    path.unlink()
        with suppress(OSError):
            for path in (self.store.root / "uploads").iterdir():
                if _written(path) < before:
                    path.unlink()


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns // 1000


def _hidden(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        return [Path(entry.path) for entry in found if entry.name.startswith(".")]
    return []
