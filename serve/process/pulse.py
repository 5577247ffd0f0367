"""Pulse: how long a worker's event loop has been silent. Pure: told what time has passed, never asks for it.

The supervisor sends a heartbeat at each tick, unless the last one is unanswered; the worker's loop answers it between
whatever else it does. What is computed, loaded or waited for on threads does not keep it from that.
"""

from __future__ import annotations

TICK_S = 0.5  # between two heartbeats
SILENT_S = 2.0  # nobody waits any longer for an answer to something else
START_S = 60.0  # a process that has never said anything is importing its libraries, from a slow disk perhaps


class Pulse:
    """The pulse of one process."""

    def __init__(self) -> None:
        self.silent_s = 0.0
        self._heard = False  # it has said something once
        self._waiting = False  # for an answer

    def __repr__(self) -> str:
        return f"<Pulse silent_s={self.silent_s:g} heard={self._heard}>"

    @property
    def silent(self) -> bool:
        return self.silent_s >= SILENT_S

    def tick(self, passed_s: float) -> bool:
        """So much time has passed since the last tick; whether to send a heartbeat now.

        A tick counts for two at most: one that comes later says that the supervisor itself, or the whole machine, was
        held up (stopped, suspended, overloaded), and the worker may have been, too.
        """
        if self._waiting:
            self.silent_s += min(passed_s, 2 * TICK_S)
            return False
        self._waiting = True
        return True

    def heard(self) -> None:
        """The worker has said something: its loop runs, and from now on a short silence tells of a hang."""
        self._heard, self.silent_s = True, 0.0

    def answered(self) -> None:
        """The worker has answered the heartbeat."""
        self._waiting = False
        self.heard()

    def hangs(self, limit_s: float) -> bool:
        """Whether it has been silent for too long; limit 0: never."""
        return 0 < limit_s <= self.silent_s and (self._heard or self.silent_s >= START_S)
