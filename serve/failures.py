"""Failures: what models fail with, told to the log: all of it while it is little, some lines a period in a flood."""

from __future__ import annotations

import logging
from time import monotonic

PERIOD_S = 10.0
LINES = 30  # in a period


class Failures:
    """One front's. A client that sends again and again what a model fails on must not fill a disk."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._began = float("-inf")
        self._lines = 0  # in this period
        self._left_out = 0  # since the last line

    def note(self, message: str, now: float | None = None) -> None:
        """One failure, in one line. `now` in seconds, left out: now."""
        now = monotonic() if now is None else now
        if now - self._began >= PERIOD_S:
            self._began, self._lines = now, 0
        if self._lines == LINES:
            self._left_out += 1
            return
        self._lines += 1
        if self._left_out:
            self._log.warning("%s (and %d other failures since the last line)", message, self._left_out)
            self._left_out = 0
        else:
            self._log.warning("%s", message)


OVER_HTTP = Failures(logging.getLogger("gantline.serve"))
OVER_GRPC = Failures(logging.getLogger("gantline.grpc"))
