"""Relay: a control verb done in all workers, and done again in those that start later.

Nobody waits for a worker that is silent (see pulse): others answer questions for it, and a change that it was told of
is made by it when it wakes, or by the one that takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, NoReturn, Protocol

from gantline.errors import GantlineError

from ..control import Effect
from .journal import Change, Journal
from .seat import WorkerGone

READ_S = 10.0
REMEMBER_S = 1.0
LOOK_S = 0.25  # between two looks at whether a worker has fallen silent
CHANGE_S = 900.0  # a model may take its time to load, and one that is unloaded to answer what it has accepted
_log = logging.getLogger("gantline.supervisor")


class Callee(Protocol):
    """A worker that can be asked (a Seat)."""

    number: int

    @property
    def silent(self) -> bool: ...

    def replace(self, why: str) -> None: ...

    async def call(self, verb: str, arguments: dict[str, Any], seconds: float) -> Any: ...


class Keeper(Protocol):
    """Somebody who remembers what workers answered to a verb, and adds an answer (a telemetry.legacy.Legacy)."""

    def saw(self, worker: int, answer: Any) -> None: ...

    def answer(self, answers: Mapping[int, Any]) -> Any: ...


class Kept(NamedTuple):
    """A keeper, and the arguments by which it hears of everything."""

    keeper: Keeper
    whole: dict[str, Any]


class Relay:
    """Fans verbs out. `joined` and `serving` tell which workers take part in changes, and which answer questions.

    `kept`: by verb, who listens to the answers. When one of these verbs is asked, workers are asked the others, too:
    so that what is told of a worker that has died is the same, however it was asked before.
    """

    def __init__(
        self, joined: Callable[[], Sequence[Callee]], serving: Callable[[], Sequence[Callee]],
        kept: Mapping[str, Kept] | None = None,
    ) -> None:  # fmt: skip
        self._joined = joined
        self._serving = serving
        self._kept = kept or {}
        self._heard_whole: dict[str, float] = {}  # when each of them was asked for everything
        self._journal = Journal()
        self._turns: dict[str, _Turn] = {}
        self._late: set[asyncio.Future[Any]] = set()  # changes in workers that have fallen silent

    async def ask(self, asker: Callee, verb: str, arguments: dict[str, Any], effect: Effect | None) -> list[Any]:
        """All workers' answers to a verb that one of them was asked; the first error if any fails.

        With an effect it is a change: those of one subject are made one after another, first in the asking worker
        alone (what fails there would fail everywhere, and is not begun elsewhere), then in the others. What fails in
        one of these is undone in all, or those that failed are replaced; the error says which.
        """
        if effect is None:
            awake = [w for w in _others(asker, self._serving()) if not w.silent]
            beside = asyncio.gather(*self._beside(verb, arguments, [*awake, asker]))
            answers = await self._everywhere(awake, asker, verb, arguments, READ_S)
            await beside
            return answers
        contested = effect.subject in self._turns  # then it may have changed since its undo was thought of
        async with self._turn(effect.subject):
            self._journal.check(effect)
            answer = await asker.call(verb, arguments, CHANGE_S)
            self._journal.record(effect, Change(verb, arguments))
            others = _others(asker, self._joined())
            answers, failed = await self._change(others, verb, arguments)
            if failed:
                await self._mend(asker, verb, effect if not contested else effect._replace(undo=None), failed)
            return [answer, *answers]

    def stands(self, subject: str, verb: str, arguments: dict[str, Any]) -> bool:
        """Whether this is what workers that start later will be told of a subject, and so what the others have done."""
        return self._journal.last(subject) == Change(verb, arguments)

    async def catch_up(self, worker: Callee) -> None:
        """Do in a worker that has joined what was changed before it came. What fails is logged: the rest serves."""
        for subject in self._journal.subjects():
            while not await self._again(worker, subject):
                while worker.silent:  # noqa: ASYNC110  # a pulse is told by ticks; nobody else waits meanwhile
                    await asyncio.sleep(LOOK_S)

    async def _again(self, worker: Callee, subject: str) -> bool:
        """Whether a subject is in a worker as it was changed last, as far as that can be; not if it falls silent."""
        async with self._turn(subject):
            change = self._journal.last(subject)
            if change is None:
                return True
            call = asyncio.ensure_future(worker.call(change.verb, change.arguments, CHANGE_S))
            try:
                if not await _heard(worker, call):
                    return False
                call.result()
            except GantlineError as e:
                _log.error("worker %d: '%s' could not be done again: %s", worker.number, change.verb, e)
            finally:
                call.cancel()
        return True

    async def _everywhere(
        self, others: Sequence[Callee], asker: Callee, verb: str, arguments: dict[str, Any], seconds: float
    ) -> list[Any]:
        workers = [asker, *others]
        calls = (self._call(worker, verb, arguments, seconds) for worker in workers)
        found = await asyncio.gather(*calls, return_exceptions=True)
        answers: dict[int, Any] = {}
        for worker, answer in zip(workers, found, strict=True):
            if isinstance(answer, WorkerGone):
                continue  # the next in its seat catches up
            if isinstance(answer, GantlineError):
                if worker is not asker:
                    _log.error("worker %d: '%s' failed: %s", worker.number, verb, answer)
                raise answer
            if isinstance(answer, BaseException):
                raise answer
            answers[worker.number] = answer
        kept = self._kept.get(verb)
        return [*answers.values()] if kept is None else [*answers.values(), kept.keeper.answer(answers)]

    async def _change(
        self, workers: Sequence[Callee], verb: str, arguments: dict[str, Any]
    ) -> tuple[list[Any], dict[Callee, GantlineError]]:
        """The answers to a change, and the errors of workers in which it failed."""
        calls = (self._call(worker, verb, arguments, CHANGE_S, change=True) for worker in workers)
        answers: list[Any] = []
        failed: dict[Callee, GantlineError] = {}
        for worker, answer in zip(workers, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            if isinstance(answer, GantlineError):
                _log.error("worker %d: '%s' failed: %s", worker.number, verb, answer)
                failed[worker] = answer
            elif isinstance(answer, BaseException):
                if not isinstance(answer, WorkerGone):  # the next in its seat catches up
                    raise answer
            else:
                answers.append(answer)
        return answers, failed

    async def _mend(self, asker: Callee, verb: str, effect: Effect, failed: dict[Callee, GantlineError]) -> NoReturn:
        """Make workers alike again after a change that was made in some; the error for who asked, as the first was."""
        error = next(iter(failed.values()))
        where = _named(failed)
        if effect.undo is None:
            for worker, one in failed.items():
                worker.replace(f"it differs from the others, in which '{verb}' was done: {one}")
            raise _said(error, f"it was done in the other workers; {where} differed, and will be replaced")
        back, undoes = Change(effect.undo.verb, effect.undo.arguments), effect.undo.undoes
        self._journal.record(Effect(effect.subject, undoes), back)
        everybody = [asker, *_others(asker, self._joined())]
        _, stuck = await self._change(everybody, back.verb, back.arguments)
        for worker, one in stuck.items():
            worker.replace(f"'{verb}' could not be undone in it: {one}")
        _log.error("'%s' failed in %s and was undone in all workers", verb, where)
        raise _said(error, f"this was in {where}; it was undone in all workers")

    def _beside(self, asked: str, arguments: dict[str, Any], workers: list[Callee]) -> list[Coroutine[Any, Any, None]]:
        """What else workers are asked at the same time, for the keepers; not again within REMEMBER_S."""
        if asked not in self._kept:
            return []
        now, out = asyncio.get_running_loop().time(), []
        for verb, (_, whole) in self._kept.items():
            if (verb, whole) != (asked, arguments):
                if now - self._heard_whole.get(verb, -REMEMBER_S) < REMEMBER_S:
                    continue
                out += [self._remind(worker, verb, whole) for worker in workers]
            self._heard_whole[verb] = now
        return out

    async def _remind(self, worker: Callee, verb: str, arguments: dict[str, Any]) -> None:
        with suppress(WorkerGone, GantlineError):  # the question itself may be answered none the less
            await self._call(worker, verb, arguments, READ_S)

    async def _call(
        self, worker: Callee, verb: str, arguments: dict[str, Any], seconds: float, change: bool = False
    ) -> Any:
        """What a worker answers. WorkerGone for one that falls silent: a change goes on in it without us."""
        call = asyncio.ensure_future(worker.call(verb, arguments, seconds))
        try:
            if not await _heard(worker, call):
                if change:
                    self._late.add(call)
                    call.add_done_callback(partial(self._came_late, worker, verb))
                raise WorkerGone
            answer = call.result()
        finally:
            if call not in self._late:
                call.cancel()
        if (kept := self._kept.get(verb)) is not None:
            kept.keeper.saw(worker.number, answer)  # at once: another may have its number when all have answered
        return answer

    def _came_late(self, worker: Callee, verb: str, call: asyncio.Future[Any]) -> None:
        """A worker that had fallen silent has made a change, or another is to take its place."""
        self._late.discard(call)
        error = None if call.cancelled() else call.exception()
        if error is not None and not isinstance(error, WorkerGone):
            worker.replace(f"'{verb}' was done in the other workers, and failed here: {error}")

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


def _named(workers: Iterable[Callee]) -> str:
    numbers = sorted(w.number for w in workers)
    return f"worker{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _said(error: GantlineError, more: str) -> GantlineError:
    """The same error, with more words."""
    said = type(error)(f"{error.message} ({more})")
    vars(said).update({fact: value for fact, value in vars(error).items() if fact != "message"})
    return said


async def _heard(worker: Callee, call: asyncio.Future[Any]) -> bool:
    """Wait for an answer; False when the worker falls silent first."""
    while not (await asyncio.wait((call,), timeout=LOOK_S))[0]:
        if worker.silent:
            return False
    return True


def _others(asker: Callee, workers: Sequence[Callee]) -> list[Callee]:
    return [w for w in workers if w is not asker]
