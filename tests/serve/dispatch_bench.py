"""A dispatch around a model, with a queue and clients of tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gantline.accelerators.session import Session
from gantline.serve.batcher import Batcher
from gantline.serve.dispatch import Dispatch
from gantline.serve.policy import QueuePolicy
from gantline.serve.statistics import Statistics
from gantline.serve.ticket import Ticket

from gantline.errors import GantlineError
from gantline.request import Request
from gantline.tensors import Array


@dataclass
class Client:
    """Who asked, and what came of it."""

    closed: bool = False
    found: list[list[Array] | GantlineError] = field(default_factory=list)

    def deliver(self, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        self.found.append(error if outputs is None else outputs)  # type: ignore[arg-type]  # one of the two is given

    @property
    def answer(self) -> Any:
        (one,) = self.found
        return one if isinstance(one, GantlineError) else one[0].tolist()


class Bench:
    """A dispatch around a model, with a queue of tests' own."""

    def __init__(self, session: Session, max_rows: int, queue: int = 1000) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.statistics = Statistics()
        self.batcher = Batcher(QueuePolicy(max_rows, queue))
        self.dispatch = Dispatch(session, self.batcher, self.statistics, self.pool)

    def ask(self, values: Any, dtype: Any = np.float32, client: Client | None = None) -> Client:
        client = client or Client()
        array = np.array(values, dtype)
        ticket = Ticket(
            Request({"x": array}), len(array) if self.batcher.max_rows else 1, "k", ("y",), None, client,  # type: ignore[arg-type]
            client.deliver, None,
        )  # fmt: skip
        self.dispatch.submit(ticket)
        return client


def on(session: Session, max_rows: int, test: Callable[[Bench], Awaitable[None]], queue: int = 1000) -> None:
    async def run() -> None:
        bench = Bench(session, max_rows, queue)
        try:
            await asyncio.wait_for(test(bench), 20)
        finally:
            bench.pool.shutdown()

    asyncio.run(run())
