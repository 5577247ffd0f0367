"""Compression: bodies under Content-Encoding, both ways, bounded."""

from __future__ import annotations

import re
import zlib

from gantline.errors import BadRequest, TooLarge, Unsupported

from .exchange import Head

COMPRESS_FROM = 1024  # bytes; below it compression costs more than it saves
_ZERO = re.compile(rb"q=0(\.0*)?")


class UnknownCoding(Unsupported):
    """A Content-Encoding that is not spoken here; the answer lists those that are."""


def decompress(body: bytes, coding: bytes, limit: int) -> bytes:
    """A body as it was before Content-Encoding; TooLarge beyond `limit` bytes, BadRequest for damaged data."""
    name = coding.strip().lower()
    if name in (b"identity", b""):
        return body
    if name not in (b"gzip", b"x-gzip", b"deflate"):
        raise UnknownCoding(f"Content-Encoding {coding.decode('latin-1')!r} is not supported; use gzip or deflate")
    machine = zlib.decompressobj(31 if name != b"deflate" else 15)
    try:
        out = machine.decompress(body, limit + 1)
    except zlib.error as e:
        raise BadRequest(f"the {name.decode()} body is damaged: {e}") from e
    if len(out) > limit:
        raise TooLarge(f"the decompressed body is larger than {limit} bytes")
    if not machine.eof:
        raise BadRequest(f"the {name.decode()} body is cut off")
    if machine.unused_data:
        raise BadRequest(f"the {name.decode()} body has {len(machine.unused_data)} bytes after its end")
    return out


def compress(body: bytes, coding: bytes) -> bytes:
    """A body under gzip or deflate, at the fastest level."""
    machine = zlib.compressobj(1, zlib.DEFLATED, 31 if coding == b"gzip" else 15)
    return machine.compress(body) + machine.flush()


def accepted(head: Head) -> bytes | None:
    """The coding that a client takes its answer in, None for none."""
    wanted = head.get(b"accept-encoding")
    if wanted is None:
        return None
    for part in wanted.lower().split(b","):
        name, _, weight = part.partition(b";")
        if name.strip() in (b"gzip", b"deflate") and not _ZERO.fullmatch(weight.replace(b" ", b"")):
            return name.strip()
    return None
