"""Relay: a control verb done in all workers, and done again in those that start later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from gantline.errors import GantlineError

from ..control import Effect
from .journal import Change, Journal
from .seat import WorkerGone

READ_S = 10.0
CHANGE_S = 900.0  # a model may take its time to load, and one that is unloaded to answer what it has accepted
_log = logging.getLogger("gantline.supervisor")


class Callee(Protocol):
    """A worker that can be asked (a Seat)."""

    number: int

    async def call(self, verb: str, arguments: dict[str, Any], seconds: float) -> Any: ...


class Keeper(Protocol):
    """Somebody who remembers what workers answered to a verb, and adds an answer (a telemetry.legacy.Legacy)."""

    def saw(self, worker: int, answer: Any) -> None: ...

    def answer(self, answered: Collection[int]) -> Any: ...


class Relay:
    """Fans verbs out. `joined` and `serving` tell which workers take part in changes, and which answer questions.

    `keepers`: by verb, who listens to the answers.
    """

    def __init__(
        self, joined: Callable[[], Sequence[Callee]], serving: Callable[[], Sequence[Callee]],
        keepers: Mapping[str, Keeper] | None = None,
    ) -> None:  # fmt: skip
        self._joined = joined
        self._serving = serving
        self._keepers = keepers or {}
        self._journal = Journal()
        self._turns: dict[str, _Turn] = {}

    async def ask(self, asker: Callee, verb: str, arguments: dict[str, Any], effect: Effect | None) -> list[Any]:
        """All workers' answers to a verb that one of them was asked; the first error if any fails.

        With an effect it is a change: those of one subject are made one after another, first in the asking worker
        alone (what fails there would fail everywhere, and is not begun elsewhere), then in the others.
        """
        if effect is None:
            return await self._everywhere(_others(asker, self._serving()), asker, verb, arguments, READ_S)
        async with self._turn(effect.subject):
            self._journal.check(effect)
            answer = await asker.call(verb, arguments, CHANGE_S)
            self._journal.record(effect, Change(verb, arguments))
            others = _others(asker, self._joined())
            return [answer, *await self._everywhere(others, None, verb, arguments, CHANGE_S)]

    async def catch_up(self, worker: Callee) -> None:
        """Do in a worker that has joined what was changed before it came. What fails is logged: the rest serves."""
        for subject in self._journal.subjects():
            async with self._turn(subject):
                change = self._journal.last(subject)
                if change is None:
                    continue
                try:
                    await worker.call(change.verb, change.arguments, CHANGE_S)
                except GantlineError as e:
                    _log.error("worker %d: '%s' could not be done again: %s", worker.number, change.verb, e)

    async def _everywhere(
        self, others: Sequence[Callee], asker: Callee | None, verb: str, arguments: dict[str, Any], seconds: float
    ) -> list[Any]:
        workers = [*([asker] if asker is not None else []), *others]
        calls = (self._call(worker, verb, arguments, seconds) for worker in workers)
        found = await asyncio.gather(*calls, return_exceptions=True)
        answers, answered = [], []
        for worker, answer in zip(workers, found, strict=True):
            if isinstance(answer, WorkerGone):
                continue  # the next in its seat catches up
            if isinstance(answer, GantlineError):
                if worker is not asker:
                    _log.error("worker %d: '%s' failed: %s", worker.number, verb, answer)
                raise answer
            if isinstance(answer, BaseException):
                raise answer
            answers.append(answer)
            answered.append(worker.number)
        keeper = self._keepers.get(verb)
        return answers if keeper is None else [*answers, keeper.answer(answered)]

    async def _call(self, worker: Callee, verb: str, arguments: dict[str, Any], seconds: float) -> Any:
        answer = await worker.call(verb, arguments, seconds)
        if (keeper := self._keepers.get(verb)) is not None:
            keeper.saw(worker.number, answer)  # at once: another may have its number when all have answered
        return answer

    @asynccontextmanager
    async def _turn(self, subject: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(subject, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[subject]


class _Turn:
    """Whose turn it is with one subject."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0  # it is held by, or that wait for it


def _others(asker: Callee, workers: Sequence[Callee]) -> list[Callee]:
    return [w for w in workers if w is not asker]
