"""The core when more comes than can be served: refusals that cost little, and bytes that are given back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gantline.serve.admission import COUNTED

from .test_core import PLAIN, Desk, at


def test_a_crowded_model_refuses_before_it_reads_a_body(zoo: Path) -> None:
    async def test(desk: Desk) -> None:
        model = desk.repository.find("double", "")
        waiting = [desk.send(PLAIN) for _ in range(100)]
        assert model.batcher.crowded
        status, headers, got = await desk.ask(b"not even JSON")
        assert (status, headers["retry-after"]) == (503, "1")
        assert got == {"error": "model 'double': 100 rows are waiting already, as many as may; try again later"}
        assert {(await w.got)[0] for w in waiting} == {200}
        assert model.statistics.rejections["queue_full"] == 1
        assert (await desk.ask(b"not even JSON"))[0] == 400

    at(zoo, test)


@pytest.mark.parametrize("size", [COUNTED + 1, 200_000])  # read on the loop, and on a thread
def test_bodies_count_until_they_are_answered(zoo: Path, size: int) -> None:
    async def test(desk: Desk) -> None:
        budget = desk.core.budget
        budget.limit = 2 * size
        body = PLAIN + b" " * (size - len(PLAIN))
        waiting = [desk.send(body) for _ in range(2)]
        assert budget.held == 2 * size
        status, headers, got = await desk.ask(body)
        assert (status, headers["retry-after"]) == (503, "1") and "MiB may; try again later" in got["error"]
        assert (await desk.ask(PLAIN))[0] == 200  # small ones need no room
        assert {(await w.got)[0] for w in waiting} == {200}
        assert budget.held == 0

    at(zoo, test)


@pytest.mark.parametrize("size", [COUNTED + 1, 200_000])
def test_nothing_is_held_for_who_got_an_error_or_left(zoo: Path, size: int) -> None:
    async def test(desk: Desk) -> None:
        assert (await desk.ask(b"x" * size))[0] == 400
        assert (await desk.ask(PLAIN.replace(b'"x"', b'"other"') + b" " * size))[0] == 400
        gone = desk.send(PLAIN + b" " * size)
        gone.closed = True
        last = desk.send(PLAIN + b" " * size)
        assert (await last.got)[0] == 200
        async with asyncio.timeout(20):
            while desk.core.budget.held:  # noqa: ASYNC110  # the one that has left may still be read, on a thread
                await asyncio.sleep(0)

    at(zoo, test)
