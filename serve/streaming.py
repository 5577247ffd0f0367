"""Streaming: the answers to one request, one after another, whatever wire it came by: any number of a script that
yields, exactly one of any other model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter_ns
from typing import TypeAlias

from gantline.errors import DeadlineExceeded, GantlineError
from gantline.request import Request
from gantline.tensors import Array

from .core import Core
from .exchange import Head
from .model import Model
from .statistics import Statistics
from .ticket import LEFT, Ticket

Outputs: TypeAlias = list[tuple[str, Array]]


def answers(core: Core, model: Model, request: Request, head: Head) -> AsyncGenerator[Outputs, None]:
    """Each answer's outputs, in the order asked for. Closing the generator stops the work, wherever it is.

    GantlineError, at the first step or later: as for a single answer. The request's statistics are kept here.
    """
    return _many(core, model, request, head) if model.session.decoupled else _one(core, model, request, head)


class _Waiting:
    """Who waits for an ordinary model's answer (a Gone)."""

    def __init__(self) -> None:
        self.closed = False


async def _one(core: Core, model: Model, request: Request, head: Head) -> AsyncGenerator[Outputs, None]:
    arrived = perf_counter_ns()
    found: asyncio.Future[list[Array] | GantlineError] = asyncio.get_running_loop().create_future()
    waiting = _Waiting()

    def deliver(ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        took = perf_counter_ns() - arrived
        if outputs is not None:
            model.statistics.succeeded(took)
        elif error is not None and error is not LEFT:  # who left is counted where that was found out
            model.statistics.failed(took, error)
        if not found.done():
            found.set_result(outputs if outputs is not None else error or LEFT)

    try:
        ticket = core.submit(model, request, head, waiting, deliver, arrived)
    except GantlineError as e:
        model.statistics.failed(perf_counter_ns() - arrived, e)
        raise
    try:
        result = await found
        if isinstance(result, GantlineError):
            raise result
        yield list(zip(ticket.outputs, result, strict=True))
    finally:
        waiting.closed = True


async def _many(core: Core, model: Model, request: Request, head: Head) -> AsyncGenerator[Outputs, None]:
    arrived = since = perf_counter_ns()
    statistics, place = model.statistics, 0
    try:
        core.settle(model, request, head, arrived)
        names = model.fit(request)
        async with aclosing(model.session.stream(request.inputs, names)) as stream:
            while (found := await _next(stream, request)) is not None:
                statistics.responded(place, perf_counter_ns() - since, 0)
                place += 1
                yield list(zip(names, found, strict=True))
                since = perf_counter_ns()
    except (GeneratorExit, asyncio.CancelledError):
        statistics.cancelled += 1
        statistics.responded(place, perf_counter_ns() - since, 0, "cancel")
        raise
    except GantlineError as e:
        statistics.responded(place, perf_counter_ns() - since, 0, "fail")
        statistics.failed(perf_counter_ns() - arrived, e)
        raise
    _complete(statistics, place, perf_counter_ns() - arrived, perf_counter_ns() - since)


def _complete(statistics: Statistics, answered: int, took: int, last: int) -> None:
    if not answered:
        statistics.responded(0, last, 0, "empty_response")
    statistics.scored(0, took)
    statistics.succeeded(took)


async def _next(stream: AsyncGenerator[list[Array], None], request: Request) -> list[Array] | None:
    """The next answer before the request's deadline, or None after the last."""
    if not request.deadline:
        return await anext(stream, None)
    left = (request.deadline - perf_counter_ns()) / 1e9
    try:
        async with asyncio.timeout(max(left, 0)) as limit:
            return await anext(stream, None)
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"model '{request.model}': the deadline passed while it was answering") from None
