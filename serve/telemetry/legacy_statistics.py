"""Legacy statistics: what V2's statistics of workers that are gone had counted when they were last asked.

As Legacy keeps it for /metrics.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from ..statistics import merge_statistics

MAX_VERSIONS = 4096  # model versions that are kept, of each worker and of all that are gone
Json: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str]


class LegacyStatistics:
    """Kept by the supervisor, beside the workers' answers to the verb "statistics". Workers by number."""

    def __init__(self) -> None:
        self._last: dict[int, dict[Key, Json]] = {}
        self._gone: dict[Key, Json] = {}

    def __repr__(self) -> str:
        return f"<LegacyStatistics workers={sorted(self._last)} gone={sorted(self._gone)}>"

    def saw(self, worker: int, answer: list[Json]) -> None:
        """What a worker answered, for all models or some: the most that anybody was told of them."""
        _keep(self._last.setdefault(worker, {}), answer)

    def ended(self, worker: int) -> None:
        """A worker is gone, and another takes its number. What it counted since it was asked last nobody knows."""
        left = self._last.pop(worker, {})
        _keep(self._gone, merge_statistics([[self._gone[k] for k in left if k in self._gone], _sums(left, left)]))

    def answer(self, answers: Mapping[int, list[Json]]) -> list[Json]:
        """One more answer, to be merged with those of the workers: for all others, of the versions that these name."""
        asked = {_key(entry): None for answer in answers.values() for entry in answer}
        silent = [_sums(last, asked) for worker, last in self._last.items() if worker not in answers]
        return merge_statistics([_sums(self._gone, asked), *silent])


def _key(entry: Json) -> Key:
    return entry["name"], entry["version"]


def _keep(kept: dict[Key, Json], entries: list[Json]) -> None:
    for entry in entries:
        kept.pop(_key(entry), None)  # to the end: the first is out of use for longest
        kept[_key(entry)] = entry
    for key in list(kept)[: max(len(kept) - MAX_VERSIONS, 0)]:
        del kept[key]


def _sums(kept: Mapping[Key, Json], wanted: Collection[Key]) -> list[Json]:
    """Entries of some versions; what memory they took is free again."""
    return [kept[key] | {"memory_usage": []} for key in wanted if key in kept]
