"""Remote blobs: a registry's blobs on any file system that fsspec knows: S3, Azure Blob, Google Cloud, SFTP and others.

What a file system needs to be reached (endpoints, keys) is not kept in the registry: it is found by each process as
that file system's own library finds it (AWS_*, AZURE_STORAGE_*, ~/.config/fsspec, FSSPEC_*).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import GantlineError, NotFound, Unavailable, Unreachable, Unsupported, UsageError, VerificationFailed
from .blob_store import Blob
from .moment import micros

_CHUNK = 4 << 20
# what is written there appears whole, when it is closed; elsewhere a file is written under another name first
_WHOLE = {"s3", "s3a", "abfs", "abfss", "az", "gs", "gcs"}
_TIMES = ("LastModified", "last_modified", "mtime", "created", "updated")
_FULL = (28, 122)  # ENOSPC, EDQUOT


class RemoteBlobs:
    """Blobs below a URL: `URL/blobs/sha256/<hex>`, as in a store on disk."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        import fsspec

        protocol = url.partition("://")[0]
        with self._told():
            self._fs, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        self._folder = f"{root}/blobs/sha256"
        self._incoming = f"{root}/incoming"
        self._whole = protocol in _WHOLE

    def __str__(self) -> str:
        return self.url

    def has(self, digest: str, size: int) -> bool:
        with self._told():
            try:
                found = self._fs.info(self._path(digest))
            except FileNotFoundError:
                return False
            return bool(found["size"] == size)

    def put(self, digest: str, size: int, source: Path) -> None:
        if self.has(digest, size):
            return
        final = self._path(digest)
        _check(source, digest)  # before anything is sent
        with self._told():
            if self._whole:
                self._fs.makedirs(self._folder, exist_ok=True)
                self._send_whole(source, final, digest, size)
                return
            work = f"{self._incoming}/{uuid.uuid4().hex}"
            try:
                self._fs.makedirs(self._incoming, exist_ok=True)
                self._send(source, work, digest, size)
                self._fs.makedirs(self._folder, exist_ok=True)
                self._fs.mv(work, final)
            except BaseException:
                with suppress(Exception):
                    self._fs.rm_file(work)
                raise

    def _send_whole(self, source: Path, final: str, digest: str, size: int) -> None:
        """Under its own name, where others may send the same at once: what they have brought is never removed."""
        try:
            self._send(source, final, digest, size)
        except VerificationFailed:
            raise
        except Exception:
            with suppress(Exception):
                if self._fs.info(final)["size"] == size:  # theirs ended first: Azure lets only one of them do so
                    return
            raise

    def _send(self, source: Path, target: str, digest: str, size: int) -> None:
        """It appears when it is closed, so that is done only when all was right."""
        hashed, sent = hashlib.sha256(), 0
        with source.open("rb") as f:
            out = self._fs.open(target, "wb")
            try:
                while chunk := f.read(_CHUNK):
                    hashed.update(chunk)
                    sent += len(chunk)
                    out.write(chunk)
                if "sha256:" + hashed.hexdigest() != digest or sent != size:
                    raise VerificationFailed(f"{source}: changed while it was read; register it again")
                out.close()
            except BaseException:
                _give_up(out)
                raise

    def fetch(self, digest: str, target: Path) -> None:
        hashed = hashlib.sha256()
        with self._told():
            try:
                with self._fs.open(self._path(digest), "rb") as f, target.open("xb") as out:
                    while chunk := f.read(_CHUNK):
                        hashed.update(chunk)
                        out.write(chunk)
            except FileNotFoundError as e:
                raise NotFound(f"{self}: has no blob {digest}; register its package again") from e
            except FileExistsError:
                raise
            except BaseException:
                target.unlink(missing_ok=True)
                raise
        if "sha256:" + hashed.hexdigest() != digest:
            target.unlink()
            raise VerificationFailed(f"{self}/blobs/sha256/{digest[7:]}: not the bytes that its name says; remove it")

    def blobs(self) -> Iterator[Blob]:
        with self._told():
            try:
                found = self._fs.ls(self._folder, detail=True)
            except FileNotFoundError:
                return
        for about in found:
            name = str(about["name"]).rstrip("/").rpartition("/")[2]
            if about.get("type") == "file" and len(name) == 64:
                yield Blob("sha256:" + name, int(about["size"] or 0), _modified(about))

    def remove(self, digest: str, before: int) -> bool:
        with self._told():
            try:
                self._fs.rm_file(self._path(digest))
            except FileNotFoundError:
                return False
        return True

    def sweep(self, before: int) -> None:
        self._sweep_uploads(before)
        with self._told():
            try:
                found = self._fs.ls(self._incoming, detail=True)
            except FileNotFoundError:
                return
            for about in found:
                if about.get("type") == "file" and (_modified(about) or 0) < before:
                    self._fs.rm_file(about["name"])

    def _sweep_uploads(self, before: int) -> None:
        """S3 keeps the parts that a killed sender has left until somebody removes them, and they cost money."""
        listed = getattr(self._fs, "list_multipart_uploads", None)
        if listed is None:
            return
        bucket, _, prefix = self._folder.partition("/")
        with self._told(), suppress(PermissionError, NotImplementedError):  # rights of their own, not given to all
            for one in listed(bucket):
                if one["Key"].startswith(f"{prefix}/") and (_modified({"created": one["Initiated"]}) or 0) < before:
                    self._fs.abort_mpu(bucket, one["Key"], one["UploadId"])

    def _path(self, digest: str) -> str:
        return f"{self._folder}/{digest.removeprefix('sha256:')}"

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Every library behind fsspec has errors of its own; what they mean here, in a line."""
        try:
            yield
        except GantlineError:
            raise
        except ImportError as e:
            raise Unsupported(f"blobs {self.url}: {_line(e)}") from e
        except PermissionError as e:
            raise UsageError(
                f"blobs {self.url}: may not be read or written so ({_line(e)}); check the credentials"
            ) from e
        except OSError as e:
            if e.errno in _FULL:
                raise Unavailable(f"blobs {self.url}: no space left there; nothing was changed") from e
            raise Unreachable(f"blobs {self.url}: {_line(e)}; check the address and the credentials") from e
        except ValueError as e:  # no such protocol, no credentials at all
            raise UsageError(f"blobs {self.url}: {_line(e)}") from e
        except Exception as e:
            what = f"{type(e).__name__}: {_line(e)}"
            raise Unreachable(f"blobs {self.url}: {what}; check the address and the credentials") from e


def _check(source: Path, digest: str) -> None:
    from ..blobs import sha256_file

    found = sha256_file(source)
    if found != digest:
        raise VerificationFailed(f"{source}: digest {found}, expected {digest}; register it again")


def _give_up(out: Any) -> None:
    """Close a file that was written in part. Left to itself, `close` sends the rest of it and lets it appear."""
    with suppress(Exception):
        out.discard()
    with suppress(Exception):
        out.forced = True  # fsspec's word for: all that there is to send was sent
        out.close()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _modified(about: dict[str, Any]) -> int | None:
    value = next((about[key] for key in _TIMES if about.get(key) is not None), None)
    if isinstance(value, datetime):
        return micros(value if value.tzinfo else value.replace(tzinfo=UTC))
    return int(value * 1_000_000) if isinstance(value, int | float) else None
