"""Residency: which models stay in memory, decided by state and `now` alone. Acting on it is on_demand's.

A limit is kept by letting the longest unused go; who is at work, pinned or on its way in or out is never chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SESSION = 128 << 10  # bytes that a session of the smallest model takes, beside its file (measured: 0.13 MB)
FIRST_RETRY_NS = 1_000_000_000  # after a load that failed; doubled with each that follows
LAST_RETRY_NS = 60_000_000_000
_SLACK = 64  # a part so small of the limit may go beyond what is needed
_WORTH = 16 << 20  # bytes of models, below which they are not what a process grows by
_MOST = 2.0  # what more it has grown by is not the models' doing
_DECAY = 8  # a weight that was measured too large by chance is forgotten over so many loads


class Held(NamedTuple):
    """A model that is in memory, or is about to be. `last`: when it was used last, or loaded, in ns."""

    name: str
    weight: int
    last: int = 0
    pinned: bool = False
    busy: bool = False  # something is queued, running or open, or it is being loaded or let go


class Room(NamedTuple):
    """Who must go so that a model fits. `fits` false: nobody is to go, since it would not be enough.

    `hopeless`: nor will it be when those at work have finished.
    """

    out: tuple[str, ...] = ()
    fits: bool = True
    hopeless: bool = False


def room_for(needed: int, held: Iterable[Held], limit: int) -> Room:
    """What has to happen before `needed` more bytes are taken; `limit` 0: nothing ever.

    Where some have to go, a few more go, so that the next loads need not look.
    """
    if not limit:
        return Room()
    known = list(held)
    lack = sum(h.weight for h in known) + needed - limit
    if lack <= 0:
        return Room()
    out, more = [], limit // _SLACK
    for one in sorted((h for h in known if not (h.pinned or h.busy)), key=lambda h: h.last):
        if lack <= 0 and one.weight > more:
            break
        out.append(one.name)
        more -= max(one.weight - max(lack, 0), 0)
        lack -= one.weight
    if lack > 0:
        return Room((), False, needed + sum(h.weight for h in known if h.pinned) > limit)
    return Room(tuple(out))


def idle(held: Iterable[tuple[Held, int]], now: int) -> list[str]:
    """Who has been unused for longer than it may be: models with their patience in ns, 0 for without end."""
    return [h.name for h, patience in held if 0 < patience < now - h.last and not (h.pinned or h.busy)]


class Weights:
    """What each model weighs, in bytes, as far as it is known: by its file, and by what loading it has shown."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def expected(self, name: str, file_bytes: int) -> int:
        """What a model that is not loaded will take."""
        return max(self._known.get(name, 0), file_bytes + SESSION)

    def learn(self, name: str, file_bytes: int, growth: int) -> int:
        """What a model that has just been loaded counts from now on. `growth`: of resident memory; 0: not known.

        Memory that others had given back hides growth, and what others take meanwhile adds to it: so up at once, and
        down slowly.
        """
        found = max(file_bytes + SESSION, growth)
        known = self._known.get(name, 0)
        if found < known:
            found = max(found, known - max((known - found) // _DECAY, 1))
        self._known[name] = found
        return found

    def forget(self, name: str) -> None:
        """A model that is no longer there."""
        self._known.pop(name, None)


class Overhead:
    """By how much more the process has grown than its models weigh: heaps have gaps, and sessions grow as they run."""

    def __init__(self) -> None:
        self.factor = 1.0

    def learn(self, grown: int, weight: int) -> None:
        """The process has grown by so many bytes since it had no models, of which it has `weight` bytes now.

        Bodies of requests and the like are among them, so one look counts for little.
        """
        if weight >= _WORTH:
            self.factor += (min(max(grown / weight, 1.0), _MOST) - self.factor) / 4

    def on(self, weight: int) -> int:
        """What a weight comes to."""
        return round(weight * self.factor)


class _Failure(NamedTuple):
    until: int
    pause: int


class Retries:
    """When a model whose load has failed may be tried again: not at once, and ever more seldom."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failure] = {}

    def failed(self, name: str, now: int) -> int:
        """A load has failed: the pause that follows, in ns."""
        before = self._failures.get(name)
        pause = FIRST_RETRY_NS if before is None else min(2 * before.pause, LAST_RETRY_NS)
        self._failures[name] = _Failure(now + pause, pause)
        return pause

    def forgive(self, name: str) -> None:
        """It was loaded, or what lies there has changed."""
        self._failures.pop(name, None)

    def may(self, name: str, now: int) -> bool:
        """Whether to try."""
        failure = self._failures.get(name)
        return failure is None or now >= failure.until
