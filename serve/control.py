"""Control: what is done to the server as a whole (load, unload, statistics), in one process or in all its workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Arguments: TypeAlias = dict[str, Any]  # of JSON values: they may travel to another process
Run: TypeAlias = Callable[[Arguments], Awaitable[Any]]
Merge: TypeAlias = Callable[[list[Any]], Any]
Subject: TypeAlias = Callable[[Arguments], str | None]
Back: TypeAlias = Callable[[Arguments], "Undo | None"]


class Undo(NamedTuple):
    """The verb that takes a change back, and whether that makes its subject as it was when the server started."""

    verb: str
    arguments: Arguments
    undoes: bool = False


class Effect(NamedTuple):
    """What a call changes ("model:iris"), and whether it makes that as it was when the server started.

    A subject that ends with ":" stands for all that begin so. Changes of one subject are made in one order in all
    workers, and the last of them is made again in a worker that starts later, unless it undoes the others. `undo`, if
    there is one, is done in all of them when the change fails in some.
    """

    subject: str
    undoes: bool = False
    undo: Undo | None = None


FanOut: TypeAlias = Callable[[str, Arguments, Effect | None], Awaitable[list[Any]]]


@dataclass(frozen=True, slots=True)
class Verb:
    """`run` acts in one process and gives JSON; `merge` makes of all workers' answers what one server would say.

    A verb that changes something names its subject by its arguments, None when these only look. `back` says, before
    it is done, how it could be undone.
    """

    run: Run
    merge: Merge
    subject: Subject | None
    undoes: bool
    back: Back | None

    def effect(self, arguments: Arguments) -> Effect | None:
        """What a call with these arguments changes."""
        subject = self.subject(arguments) if self.subject is not None else None
        if subject is None:
            return None
        return Effect(subject, self.undoes, self.back(arguments) if self.back is not None else None)


def first(answers: list[Any]) -> Any:
    """The merge of a verb that answers alike in every worker."""
    return answers[0]


class Control:
    """A table of verbs. `fan_out` is set in a worker, by its link to the supervisor: it runs a verb in all workers."""

    def __init__(self) -> None:
        self._verbs: dict[str, Verb] = {}
        self.fan_out: FanOut | None = None
        self.first: Callable[[str, Arguments], Awaitable[None]] | None = None  # is told of what is to be done

    def register(
        self, name: str, run: Run, merge: Merge = first, subject: Subject | None = None, undoes: bool = False,
        back: Back | None = None,
    ) -> None:  # fmt: skip
        """Add a verb, once."""
        assert name not in self._verbs, name
        self._verbs[name] = Verb(run, merge, subject, undoes, back)

    async def call(self, verb: str, /, **arguments: Any) -> Any:
        """Do it everywhere; returns when every worker has done it. The verb's own GantlineError if one fails."""
        one = self._verbs[verb]
        if self.first is not None:
            await self.first(verb, arguments)
        if self.fan_out is None:
            return one.merge([await one.run(arguments)])
        return one.merge(await self.fan_out(verb, arguments, one.effect(arguments)))

    async def here(self, name: str, arguments: Arguments) -> Any:
        """Do it in this process alone."""
        return await self._verbs[name].run(arguments)
