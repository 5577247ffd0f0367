"""Output: what a script prints, line by line into the server's log under the model's name, never holding it up."""

from __future__ import annotations

import logging
import os
from time import monotonic

LINE = 4096  # bytes of one line that are logged
LINES_PER_SECOND = 200

_log = logging.getLogger("gantline.script")


class Output:
    """Reads one pipe. A flood is read and dropped beyond LINES_PER_SECOND, and the log says how much."""

    def __init__(self, name: str, file: int) -> None:
        os.set_blocking(file, False)
        self.file = file
        self.closed = False
        self._name = name
        self._rest = b""
        self._second = 0.0
        self._lines = 0
        self._dropped = 0

    def pump(self, most: int = 1 << 20) -> None:
        """Read what is there, `most` bytes at once, without waiting."""
        read = 0
        while read < most:
            try:
                data = os.read(self.file, 1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.closed = True
                return
            read += len(data)
            self._lines_of(data)

    def finish(self) -> None:
        """Log what is left, a last line without an end too."""
        self.pump()
        if self._rest:
            self._one(self._rest)
            self._rest = b""
        self._say_dropped()

    def _lines_of(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._one(line)
        if len(rest) > LINE:  # a line without end must not gather here
            self._one(rest[:LINE])
            rest = b""
        self._rest = rest

    def _one(self, line: bytes) -> None:
        now = monotonic()
        if now - self._second >= 1.0:
            self._second = now
            self._lines = 0
            self._say_dropped()
        self._lines += 1
        if self._lines > LINES_PER_SECOND:
            self._dropped += 1
            return
        text = line[:LINE].decode("utf-8", "replace").rstrip()
        if text:
            _log.info("[%s] %s", self._name, text)

    def _say_dropped(self) -> None:
        if self._dropped:
            _log.warning("[%s] printed too fast: %d lines were dropped", self._name, self._dropped)
            self._dropped = 0
