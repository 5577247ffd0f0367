"""Legacy: what workers that are gone had counted when they were last asked, so that a server's sums never go back."""

from __future__ import annotations

from collections.abc import Mapping

from .families import FAMILIES
from .snapshot import Snapshot, add, merge


class Legacy:
    """Kept by the supervisor, beside the workers' answers to the verb "metrics". Workers by number."""

    def __init__(self) -> None:
        self.restarts = 0
        self._last: dict[int, Snapshot] = {}
        self._gone: Snapshot = {}

    def saw(self, worker: int, answer: Snapshot) -> None:
        """What a worker answered: the most that anybody was told of it."""
        self._last[worker] = answer

    def ended(self, worker: int) -> None:
        """A worker is gone, and another takes its number. What it counted since it was asked last nobody knows."""
        self.restarts += 1
        self._gone = merge([self._gone, _sums(self._last.pop(worker, {}))])

    def answer(self, answers: Mapping[int, Snapshot]) -> Snapshot:
        """One more answer, to be merged with those of the workers: for all others."""
        out: Snapshot = {}
        add(out, "gantline_worker_restarts", self.restarts)
        silent = [_sums(last) for worker, last in self._last.items() if worker not in answers]
        return merge([self._gone, *silent, out])


def _sums(snapshot: Snapshot) -> Snapshot:
    return {name: rows for name, rows in snapshot.items() if FAMILIES[name].kind in ("counter", "histogram")}
