"""Roster: how far each worker is, and what is to be done when one ends. Pure: told the time, never asks for it."""

from __future__ import annotations

from gantline.accelerators.script.backoff import Backoff

from gantline.errors import GantlineError

ABSENT, STARTING, JOINED, SERVING, LEAVING = "absent", "starting", "joined", "serving", "leaving"


class Roster:
    """Workers by number, from 1.

    A worker starts (loads its models), joins (takes part in what control changes, and catches up with what was
    changed before), and serves. The server is ready once all serve, and from then on while any does: one that is
    started again accepts nothing meanwhile, so that nobody meets it.
    """

    def __init__(self, workers: int) -> None:
        self._phases = dict.fromkeys(range(1, workers + 1), ABSENT)
        self._since = dict.fromkeys(self._phases, 0.0)
        self._backoffs = {n: Backoff() for n in self._phases}
        self.complete = False  # all have served at the same time

    def __repr__(self) -> str:
        return f"<Roster {self._phases} complete={self.complete}>"

    @property
    def ready(self) -> bool:
        return self.complete and SERVING in self._phases.values()

    def phase(self, worker: int) -> str:
        return self._phases[worker]

    def starts(self, worker: int) -> None:
        self._phases[worker] = STARTING

    def joins(self, worker: int) -> None:
        self._phases[worker] = JOINED

    def serves(self, worker: int, now: float) -> bool:
        """Whether with this one all serve for the first time."""
        self._phases[worker] = SERVING
        self._since[worker] = now
        first = not self.complete and all(p == SERVING for p in self._phases.values())
        self.complete = self.complete or first
        return first

    def leaves(self, worker: int) -> None:
        """It was told to stop, not by the supervisor: it listens no more."""
        self._phases[worker] = LEAVING

    def ended(self, worker: int, now: float, failure: GantlineError | None, how: str) -> float | GantlineError:
        """Seconds until it is started again, or the error that the server ends with.

        `failure` is what the worker itself said was wrong (with the settings, the models): another would say the
        same, so it ends a server that is not ready yet, or that nobody else serves. `how` is how the process ended.
        """
        phase, self._phases[worker] = self._phases[worker], ABSENT
        if failure is not None and not self.ready:
            return failure
        if not self.complete:
            return GantlineError(f"worker {worker} ended while it started ({how}); the log has its last words")
        lived = now - self._since[worker] if phase in (SERVING, LEAVING) else 0.0
        return self._backoffs[worker].after(lived)
