"""Packed: a compressed stream read as the plain one, whatever it was compressed with, or nothing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from gantline.errors import BadArtefact, Unsupported

_HEADS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}
_LONGEST = max(map(len, _HEADS))
_PIECE = 2048  # bytes of zstd at once: the worst become 100 MB


def packing(head: bytes) -> str:
    """How a file that begins so is compressed; empty if it is not."""
    return next((name for magic, name in _HEADS.items() if head.startswith(magic)), "")


@contextmanager
def plain(file: BinaryIO, where: str) -> Iterator[BinaryIO]:
    """The plain stream within a seekable file, for a block. BadArtefact (naming `where`) for a damaged one.

    Unsupported where it is zstd and the library for that is not installed.
    """
    at = file.tell()
    head = file.read(_LONGEST)
    file.seek(at)
    try:
        with _opened(file, packing(head), where) as stream:
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as e:
        raise BadArtefact(f"{where}: cut off or damaged: {e}") from e
    except OSError as e:
        if e.errno is None:  # bz2 and zstandard say damage so; a disk's errors have a number
            raise BadArtefact(f"{where}: cut off or damaged: {e}") from e
        raise


@contextmanager
def _opened(file: BinaryIO, how: str, where: str) -> Iterator[BinaryIO]:
    if how == "gzip":
        with gzip.GzipFile(fileobj=file, mode="rb") as f:
            yield cast(BinaryIO, f)
    elif how == "xz":
        with lzma.LZMAFile(file) as x:
            yield cast(BinaryIO, x)
    elif how == "bzip2":
        with bz2.BZ2File(file) as b:
            yield cast(BinaryIO, b)
    elif how == "zstd":
        with _zstd(file, where) as z:
            yield z
    else:
        yield file


@contextmanager
def _zstd(file: BinaryIO, where: str) -> Iterator[BinaryIO]:
    try:
        import zstandard
    except ImportError as e:
        raise Unsupported(f"{where}: compressed with zstd; pip install zstandard, or compress it with gzip") from e
    try:
        with io.BufferedReader(_Frames(file, zstandard.ZstdDecompressor().decompressobj), 1 << 17) as stream:
            yield cast(BinaryIO, stream)
    except zstandard.ZstdError as e:
        raise BadArtefact(f"{where}: cut off or damaged: {e}") from e


class _Frames(io.RawIOBase):
    """Frame after frame; the library's own reader takes the end of a file that is cut off for the end of its data."""

    def __init__(self, file: BinaryIO, begin: Callable[[], Any]) -> None:
        self._file = file
        self._begin = begin
        self._frame: Any = None
        self._packed = b""
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            self._packed = self._packed or self._file.read(_PIECE)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("it ends within a frame")
                return 0
            if self._frame is None:
                self._frame = self._begin()
            self._plain = memoryview(self._frame.decompress(self._packed))
            self._packed = b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count
