"""What one HTTP/2 connection may cost: how long it may live, what it may ask of us, and how much it may send ahead.

Pure bookkeeping, beside zttp, which has limits of its own that end a connection at once (4,096 streams, 256 resets, a
field block of 64 KiB), credits what a client sends as soon as it is read, and answers every PING and SETTINGS.
"""

from __future__ import annotations

from collections.abc import Iterable

# zttp ends a connection at 4,096 streams and 256 resets; a client that is told to go may open and reset all of its 128
# streams once more before it hears of it
MOST_STREAMS = 3500
MOST_RESETS = 100
_CONTROL_BURST = 2000  # PING and SETTINGS that come at once
_CONTROL_PER_S = 100.0
_HEADER = 9  # bytes of a frame before its payload
_WINDOW_UPDATE = 8  # a frame's type


class Age:
    """Counts what a connection has been through; `old` when its client is to be sent to a new one."""

    __slots__ = ("_allowance", "_then", "resets", "streams")

    def __init__(self, now: float) -> None:
        self.streams = 0
        self.resets = 0
        self._allowance = float(_CONTROL_BURST)
        self._then = now

    @property
    def old(self) -> bool:
        return self.streams >= MOST_STREAMS or self.resets >= MOST_RESETS

    def control(self, now: float) -> bool:
        """A frame came that asks for an answer and does nothing else; False when there were too many."""
        self._allowance = min(self._allowance + (now - self._then) * _CONTROL_PER_S, _CONTROL_BURST)
        self._then = now
        self._allowance -= 1
        return self._allowance >= 0

    def useful(self) -> None:
        """Data came: clients measure a connection with one PING for some of it."""
        self._allowance = min(self._allowance + 0.5, _CONTROL_BURST)


class Inflow:
    """Who may send on. Over `limit` bytes of unfinished bodies only the oldest of them may, so one is always finished.

    A stream that may not keeps what it has: its client is given no more room, and stops after 64 KiB.
    """

    __slots__ = ("_asked", "_sizes", "_total", "held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: set[int] = set()
        self._asked: set[int] = set()  # by their readers
        self._sizes: dict[int, int] = {}  # in the order in which they began
        self._total = 0

    def keeps(self, stream: int, size: int) -> None:
        """So many bytes of a body, or of a message, are kept until the rest has come; 0: it has."""
        before = self._sizes.pop(stream, 0) if not size else self._sizes.get(stream, 0)
        if size:
            self._sizes[stream] = size
        self._total += size - before
        if self.held or self._total > self.limit:
            self._settle()

    def pause(self, stream: int, paused: bool) -> None:
        """A reader wants no more for now, or wants to go on."""
        (self._asked.add if paused else self._asked.discard)(stream)
        self._settle()

    def forget(self, stream: int) -> None:
        """A stream has ended."""
        self._asked.discard(stream)
        self.keeps(stream, 0)

    def _settle(self) -> None:
        self.held = set(self._asked)
        if self._total > self.limit:
            self.held.update(list(self._sizes)[1:])


class Valve:
    """Keeps back the WINDOW_UPDATE frames of streams that are held, and gives them when they are not any more."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, int] = {}

    def strain(self, frames: bytes, held: Iterable[int]) -> bytes:
        """Whole frames, less those that are kept back."""
        out = []
        begin = at = 0
        while at < len(frames):
            end = at + _HEADER + int.from_bytes(frames[at : at + 3], "big")
            if frames[at + 3] == _WINDOW_UPDATE:
                stream = int.from_bytes(frames[at + 5 : at + _HEADER], "big")
                if stream in held:
                    self._kept[stream] = self._kept.get(stream, 0) + int.from_bytes(frames[at + _HEADER : end], "big")
                    out.append(frames[begin:at])
                    begin = end
            at = end
        out.append(frames[begin:])
        return b"".join(out)

    def released(self, held: Iterable[int]) -> bytes:
        """The frames that are due to streams not held any more."""
        if not self._kept:
            return b""
        free = [stream for stream in self._kept if stream not in held]
        return b"".join(
            b"\0\0\4\x08\0%s%s" % (stream.to_bytes(4, "big"), self._kept.pop(stream).to_bytes(4, "big"))
            for stream in free
        )

    def forget(self, stream: int) -> None:
        """A stream has ended."""
        self._kept.pop(stream, None)

    def __bool__(self) -> bool:
        return bool(self._kept)
