"""Press: what is written passes on to a thread of its own, which hashes it and has it compressed while more is made.

zlib and hashlib let other threads run meanwhile, as long as they get pieces that are worth it: of 10 KiB, as tarfile
writes them, each waits longer for Python's lock than it takes. What comes out does not depend on the pieces.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gantline.oci.store import Incoming

from .gzip_blocks import GzipBlocks

LEVEL = 6  # of gzip: 9 takes thrice the time for 0.5 %
PIECE = 1 << 18  # bytes
_AHEAD = 4  # pieces that wait


class Press:
    """A file to be written to, as tarfile wants one."""

    def __init__(self, out: Incoming, compress: bool) -> None:
        self._out = out
        self._compress = compress
        self._hash = hashlib.sha256()
        self._at = 0
        self._piece = bytearray()
        self._pieces: queue.Queue[bytearray | None] = queue.Queue(_AHEAD)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gantline-press", daemon=True)

    @property
    def digest(self) -> str:
        """Of what was written, plain; once the block has ended."""
        return "sha256:" + self._hash.hexdigest() if self._compress else self._out.digest

    def write(self, data: bytes) -> int:
        """Add bytes. Whatever the other thread failed with is raised here."""
        self._piece += data
        self._at += len(data)
        if len(self._piece) >= PIECE:
            self._pass_on()
        return len(data)

    def tell(self) -> int:
        """How many bytes were written."""
        return self._at

    def _pass_on(self) -> None:
        if self._failed is not None:
            raise self._failed
        self._pieces.put(self._piece)
        self._piece = bytearray()

    def _run(self) -> None:
        """Never leaves before the end is told: whoever writes would wait for ever."""
        try:
            self._press()
        except BaseException as e:
            self._failed = e
            while self._pieces.get() is not None:
                pass

    def _press(self) -> None:
        if not self._compress:
            while (piece := self._pieces.get()) is not None:
                self._out.write(memoryview(piece))
            return
        with GzipBlocks(self._out, LEVEL) as packed:
            while (piece := self._pieces.get()) is not None:
                self._hash.update(piece)
                packed.write(piece)

    @contextmanager
    def working(self) -> Iterator[None]:
        """All that is written within a block is in `out` when it ends."""
        self._thread.start()
        try:
            yield
            self._pass_on()
        finally:
            self._pieces.put(None)
            self._thread.join()
        if self._failed is not None:
            raise self._failed


@contextmanager
def pressed(out: Incoming, compress: bool = True) -> Iterator[Any]:
    """A press for a block."""
    press = Press(out, compress)
    with press.working():
        yield press
