"""QueuePolicy: how one model's requests wait: bounds, priorities, time-outs, shares of tenants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

LEVELS = 10
DEFAULT_LEVEL = 5


@dataclass(frozen=True, slots=True)
class LevelPolicy:
    """What one level of priority has for itself; as in QueuePolicy."""

    timeout_ns: int = 0
    timeout_override: bool = True
    demote: bool = False


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Rows, requests and nanoseconds; 0 where a bound is optional means none.

    `max_rows` 0: requests are never stacked. `demote`: a request whose time-out passes goes on waiting behind all
    others (Triton's DELAY) instead of being refused. `ageing_ns`: after waiting so long a request counts as one level
    more urgent. `target_ns`, `max_wait_ns`: see Admission. `weights`: shares of tenants by name; others have 1.
    `own`: levels other than the default one with time-outs of their own. `sizes`: requests that may wait at a level.
    """

    max_rows: int = 0
    max_queue_rows: int = 16384
    max_queue_requests: int = 0
    target_ns: int = 0
    max_wait_ns: int = 0
    levels: int = LEVELS
    default_level: int = DEFAULT_LEVEL
    ageing_ns: int = 1_000_000_000
    timeout_ns: int = 0
    timeout_override: bool = True
    demote: bool = False
    weights: Mapping[bytes, float] = field(default_factory=dict)
    own: Mapping[int, LevelPolicy] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)

    def level(self, priority: int) -> int:
        """The level of a request's priority; 0 and what is out of range are the default, as in Triton."""
        return priority if 1 <= priority <= self.levels else self.default_level

    def at(self, priority: int) -> LevelPolicy | QueuePolicy:
        """What holds for a request of this priority."""
        return self.own.get(self.level(priority), self) if self.own else self

    @property
    def patience(self) -> dict[int, int]:
        """After how many ns a level's requests go behind all others; those that never do are left out."""
        if not (self.demote or self.own):
            return {}
        rules = ((level, self.own.get(level, self)) for level in range(1, self.levels + 1))
        return {level: rule.timeout_ns for level, rule in rules if rule.demote and rule.timeout_ns}

    def unstacked(self) -> QueuePolicy:
        """The same for a model whose requests each run alone."""
        return replace(self, max_rows=0)
