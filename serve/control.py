"""Control: what is done to the server as a whole (load, unload, statistics), in one process or in all its workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Arguments: TypeAlias = dict[str, Any]  # of JSON values: they may travel to another process
Run: TypeAlias = Callable[[Arguments], Awaitable[Any]]
Merge: TypeAlias = Callable[[list[Any]], Any]
FanOut: TypeAlias = Callable[[str, Arguments], Awaitable[list[Any]]]


@dataclass(frozen=True, slots=True)
class Verb:
    """`run` acts in one process and gives JSON; `merge` makes of all workers' answers what one server would say."""

    run: Run
    merge: Merge


def first(answers: list[Any]) -> Any:
    """The merge of a verb that answers alike in every worker."""
    return answers[0]


class Control:
    """A table of verbs. `fan_out` is set in a worker, by its link to the supervisor: it runs a verb in all workers."""

    def __init__(self) -> None:
        self._verbs: dict[str, Verb] = {}
        self.fan_out: FanOut | None = None

    def register(self, name: str, run: Run, merge: Merge = first) -> None:
        """Add a verb, once."""
        assert name not in self._verbs, name
        self._verbs[name] = Verb(run, merge)

    async def call(self, verb: str, /, **arguments: Any) -> Any:
        """Do it everywhere; returns when every worker has done it. The verb's own GantlineError if one fails."""
        answers = [await self.here(verb, arguments)] if self.fan_out is None else await self.fan_out(verb, arguments)
        return self._verbs[verb].merge(answers)

    async def here(self, name: str, arguments: Arguments) -> Any:
        """Do it in this process alone."""
        return await self._verbs[name].run(arguments)
