"""Progress: what becomes of each blob of a push or a pull, told as it happens, and summed up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .descriptor import Descriptor

WAITING, MOVING, DONE, THERE, MOUNTED = "waiting", "moving", "done", "there", "mounted"


@dataclass(frozen=True, slots=True)
class Step:
    """Where one blob stands. `at` of `size` bytes have been moved; `state` is one of the words above."""

    digest: str
    title: str
    size: int
    at: int
    state: str


Told = Callable[[Step], None]  # called from several threads, one at a time


@dataclass(slots=True)
class Ledger:
    """Tells each step, and keeps what it came to: bytes by state, and blobs by state."""

    told: Told
    bytes: dict[str, int] = field(default_factory=dict)
    blobs: dict[str, int] = field(default_factory=dict)
    wire: int = 0  # bytes of blobs that went over the network, those sent again included
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, blob: Descriptor, at: int, state: str = MOVING) -> None:
        """A blob stands there now."""
        with self._lock:
            self.told(Step(blob.digest, title_of(blob), blob.size, at, state))

    def end(self, blob: Descriptor, state: str, wire: int = 0) -> None:
        """A blob is where it was to go."""
        with self._lock:
            self.bytes[state] = self.bytes.get(state, 0) + blob.size
            self.blobs[state] = self.blobs.get(state, 0) + 1
            self.wire += wire
            self.told(Step(blob.digest, title_of(blob), blob.size, blob.size, state))

    def sum(self, *states: str) -> int:
        """Bytes of blobs that ended so."""
        return sum(self.bytes.get(state, 0) for state in states)


def title_of(blob: Descriptor) -> str:
    """What a person knows a blob by: the layer's title, the file's path, else its digest's first digits."""
    notes = blob.annotations
    for key in ("dev.gantline.layer", "org.cncf.model.filepath", "org.opencontainers.image.title"):
        if notes.get(key):
            return notes[key]
    return blob.digest.removeprefix("sha256:")[:12]
