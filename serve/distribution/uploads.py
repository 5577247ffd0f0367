"""Uploads: blobs that arrive in pieces, each a file beside the store's blobs until its digest is known to be right."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from gantline.oci.store import Store

from .refusal import Refusal

KEPT_S = 24 * 3600  # how long an upload that nobody goes on with is kept
AT_ONCE = 1024  # that may be open
SETTLE_S = 2.0  # that a question waits for what is on its way
_SLICE = 1 << 20


class Uploads:
    """Those of one store. An upload's offset is the length of its file: it outlives the server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.root / "uploads"
        self._locks: dict[str, asyncio.Lock] = {}

    def begin(self) -> str:
        """A new one's identifier. Refusal when too many are open."""
        name = str(uuid.uuid4())
        try:
            self._folder.mkdir(exist_ok=True)
            self.sweep(time.time())
            if len(list(self._folder.iterdir())) >= AT_ONCE:
                raise Refusal(429, "TOOMANYREQUESTS", f"{AT_ONCE} uploads are open; finish some", {"Retry-After": "60"})
            (self._folder / name).touch()
        except OSError as e:
            raise _unwritable(e) from e
        return name

    def sweep(self, now: float) -> list[str]:
        """Forget what nobody has gone on with for a day; what was forgotten."""
        old = []
        with suppress(FileNotFoundError):
            old = [p for p in self._folder.iterdir() if now - p.stat().st_mtime > KEPT_S]
        for path in old:
            path.unlink(missing_ok=True)
        return [path.name for path in old]

    def size(self, name: str) -> int:
        """Bytes that have arrived."""
        return self._path(name).stat().st_size

    async def settled(self, name: str) -> int:
        """Bytes that have arrived, once what is still on its way from a connection that was cut is written.

        A client that heard less would send at the wrong place, and a whole piece in vain. Not waited for long: the
        connection may be one that nobody has closed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S), self._one(name):
                pass
        return self.size(name)

    async def append(self, name: str, body: AsyncIterator[bytes], at: int | None) -> int:
        """Add bytes; the new size. `at`: where they begin, if the client says it; Refusal (416) if that is not the end.

        What had arrived of a body that was cut stays, and the client goes on behind it.
        """
        async with self._one(name):
            path = self._path(name)
            have = path.stat().st_size
            if at is not None and at != have:
                raise Refusal(416, "BLOB_UPLOAD_INVALID", f"bytes from {at} on; {have} are here", _range(have))
            with path.open("ab", buffering=0) as f:
                try:
                    async for chunk in body:
                        if chunk:
                            await asyncio.to_thread(_write, f.fileno(), chunk)
                except OSError as e:
                    f.truncate(have)  # others may need the room
                    raise _unwritable(e) from e
                return os.fstat(f.fileno()).st_size

    async def finish(self, name: str, digest: str) -> int:
        """Make it a blob; its size. Refusal, and nothing kept, if its digest is another."""
        async with self._one(name):
            path = self._path(name)
            size = path.stat().st_size
            try:
                if await asyncio.to_thread(_digest, path) != digest:
                    raise Refusal(400, "DIGEST_INVALID", f"{size} bytes arrived, and they are not {digest}")
                os.chmod(path, 0o644)
                os.replace(path, self._store.path(digest))
            except OSError as e:
                raise _unwritable(e) from e
            finally:
                path.unlink(missing_ok=True)
                self._locks.pop(name, None)
            return size

    def cancel(self, name: str) -> None:
        """Forget one."""
        self._path(name).unlink(missing_ok=True)
        self._locks.pop(name, None)

    def _one(self, name: str) -> asyncio.Lock:
        self._path(name)
        return self._locks.setdefault(name, asyncio.Lock())

    def _path(self, name: str) -> Path:
        try:
            path = self._folder / str(uuid.UUID(name))
        except ValueError:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "no such upload") from None
        if not path.is_file():
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "no such upload; begin again")
        return path


def _unwritable(error: OSError) -> Refusal:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refusal(507, "UNKNOWN", "no space left on the registry's disk")
    return Refusal(500, "UNKNOWN", f"the registry cannot write: {error.strerror}")


def _range(size: int) -> dict[str, str]:
    return {"Range": f"0-{max(size - 1, 0)}"}


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _digest(path: Path) -> str:
    """Of a file, which is on the disk afterwards."""
    hashed = hashlib.sha256()
    with path.open("rb+") as f:
        while chunk := f.read(_SLICE):
            hashed.update(chunk)
        os.fsync(f.fileno())
    return "sha256:" + hashed.hexdigest()
