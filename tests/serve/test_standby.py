"""Waiting for a model that is not there yet: by callback and by coroutine."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from gantline.serve.model import Model
from gantline.serve.standby import Standby, loaded, when_loaded

from gantline.errors import GantlineError, NotFound, Overloaded, Unavailable


class Desk:
    """A waker whose loads end when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.futures: list[asyncio.Future[None]] = []
        self.full = False

    def wakes(self, name: str) -> bool:
        return True

    def wait(self, name: str, deadline: int = 0, size: int = 0) -> asyncio.Future[None]:
        if self.full:
            raise Overloaded("too many wait")
        self.asked.append((name, deadline, size))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


def test_every_other_error_is_told_at_once() -> None:
    told: list[GantlineError] = []
    error = NotFound("no such model")
    when_loaded(error, lambda: pytest.fail("it is not there"), told.append)
    assert told == [error]


def test_called_back_when_it_is_there_or_failed() -> None:
    async def run() -> None:
        desk, told = Desk(), list[Any]()
        for _ in range(2):
            when_loaded(Standby("m", desk), lambda: told.append("again"), told.append, 7, 9)
        assert desk.asked == [("m", 7, 9)] * 2 and told == []
        desk.futures[0].set_result(None)
        failure = Unavailable("it is broken")
        desk.futures[1].set_exception(failure)
        await asyncio.sleep(0)
        assert told == ["again", failure]
        desk.full = True
        when_loaded(Standby("m", desk), lambda: pytest.fail("nobody waited"), told.append)
        assert isinstance(told[-1], Overloaded)

    asyncio.run(run())


def test_a_coroutine_looks_again_until_it_finds() -> None:
    async def run() -> None:
        desk, there = Desk(), cast(Model, object())
        answers: list[Any] = [Standby("m", desk), Standby("m", desk), there]

        def find() -> Model:
            found = answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return cast(Model, found)

        task = asyncio.ensure_future(loaded(find))
        for i in range(2):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            desk.futures[i].set_result(None)
        assert await task is there
        answers.append(Standby("m", desk))
        task = asyncio.ensure_future(loaded(find))
        await asyncio.sleep(0)
        desk.futures[2].set_exception(Unavailable("it is broken"))
        with pytest.raises(Unavailable, match="it is broken"):
            await task

    asyncio.run(run())


def test_what_who_does_not_wait_tells_its_client() -> None:
    error = Standby("m", Desk())
    assert error.message == "model 'm' is not loaded; its first request loads it" and error.reason == "not_ready"
