"""Backoff: how long to wait before a host is started again. Pure: told the time, never asks for it."""

from __future__ import annotations

FIRST_S = 0.05
FACTOR = 2.0
LONGEST_S = 30.0
HEALTHY_S = 10.0  # a host that lived this long, and longer than its last delay, starts afresh


class Backoff:
    """Delays that double from FIRST_S to LONGEST_S while hosts die young."""

    def __init__(self) -> None:
        self._next = FIRST_S

    def __repr__(self) -> str:
        return f"<Backoff next={self._next}>"

    def after(self, lived_s: float) -> float:
        """Seconds to wait now that a host has died after `lived_s` of readiness."""
        if lived_s >= max(HEALTHY_S, self._next):
            self._next = FIRST_S
        delay = self._next
        self._next = min(self._next * FACTOR, LONGEST_S)
        return delay
