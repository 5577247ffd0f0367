"""Ring: a bounded queue of messages in shared memory, with one writer and one reader in two processes.

Runs on both sides of the link, so it imports nothing but the standard library.
"""

from __future__ import annotations

import struct
import threading
from typing import NamedTuple

# size of the whole message, id, kind, flags, status, bytes of meta, aux, bytes of body
_HEAD = struct.Struct("<IIBBHIQQ")
_SIZE = struct.Struct("<I")
HEAD = _HEAD.size
_pack = _HEAD.pack_into
_unpack = _HEAD.unpack_from
_lock = threading.Lock()


class Message(NamedTuple):
    """What travels. `status`, `aux` and `meta` mean what the kind says; `body` is the payload."""

    kind: int
    id: int
    flags: int
    status: int
    aux: int
    meta: bytes
    body: bytes


class Damaged(Exception):
    """The other side wrote nonsense into the shared memory: it cannot be trusted any longer."""


def fence() -> None:
    """Order memory accesses between processes.

    CPython has no fence; taking a lock is an atomic read-modify-write (a full barrier on x86), and release followed
    by acquire, twice, keeps stores and later loads apart on ARM too.
    """
    _lock.acquire()
    _lock.release()
    _lock.acquire()
    _lock.release()


class Ring:
    """Messages in `memory`, whose length is a power of two; positions are counted without end in two shared words.

    `words[at]` is where the reader is, `words[at + 8]` where the writer is (a cache line apart).
    """

    def __init__(self, memory: memoryview, words: memoryview, at: int) -> None:
        self.size = len(memory)
        self._memory = memory
        self._words = words
        self._read = at
        self._write = at + 8

    def __repr__(self) -> str:
        return f"<Ring read={self.position} written={self._words[self._write]} size={self.size}>"

    @property
    def position(self) -> int:
        """How far the reader has come: a message whose push() returned no more than this was taken."""
        at: int = self._words[self._read]
        return at

    @property
    def empty(self) -> bool:
        return bool(self._words[self._read] == self._words[self._write])

    def push_fits(self, need: int) -> bool:
        """Whether a message of `need` bytes in all would find room now, even if it had to skip the ring's end."""
        words = self._words
        return bool(2 * need <= self.size - (words[self._write] - words[self._read]))

    def release(self) -> None:
        """Let go of the memory."""
        self._memory.release()

    def push(self, kind: int, id: int, flags: int, status: int, aux: int, meta: bytes, body: bytes | memoryview) -> int:
        """Write one message; the position after it, or 0 when there is no room now."""
        n_meta, n_body = len(meta), len(body)
        need = (HEAD + n_meta + n_body + 7) & ~7
        size, memory, words = self.size, self._memory, self._words
        tail = words[self._write]
        at = tail & (size - 1)
        skip = size - at if need > size - at else 0
        if need + skip > size - (tail - words[self._read]):
            return 0
        if skip:
            _SIZE.pack_into(memory, at, 0)  # no message fits behind: go on at the start
            tail += skip
            at = 0
        _pack(memory, at, need, id, kind, flags, status, n_meta, aux, n_body)
        at += HEAD
        if n_meta:
            memory[at : at + n_meta] = meta
            at += n_meta
        if n_body:
            memory[at : at + n_body] = body
        fence()
        tail += need
        words[self._write] = tail
        return int(tail)

    def pop(self) -> Message | None:
        """Take the oldest message (copied out), or None. Damaged if the memory holds nonsense."""
        size, memory, words = self.size, self._memory, self._words
        head = words[self._read]
        have = words[self._write] - head
        if not have:
            return None
        if not 0 < have <= size:
            raise Damaged(f"{have} bytes in a ring of {size}")
        at = head & (size - 1)
        if not _SIZE.unpack_from(memory, at)[0]:
            head += size - at
            have -= size - at
            at = 0
            if have < HEAD:
                raise Damaged("a skip with nothing behind it")
        need, id, kind, flags, status, n_meta, aux, n_body = _unpack(memory, at)
        if need > have or need > size - at or HEAD + n_meta + n_body > need:
            raise Damaged(f"a message of {need} bytes where {have} are")
        body_at = at + HEAD + n_meta
        meta = bytes(memory[at + HEAD : body_at]) if n_meta else b""
        message = Message(kind, id, flags, status, aux, meta, bytes(memory[body_at : body_at + n_body]))
        fence()
        words[self._read] = head + need
        return message
