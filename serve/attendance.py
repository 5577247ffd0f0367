"""Attendance: whether anybody waits still for the batch that a thread runs. Asked on that thread, by the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from .ticket import Batch

P = ParamSpec("P")
T = TypeVar("T")


class Attendance:
    """Of one model's batches. Outside of any (a model that proves itself) somebody waits."""

    def __init__(self) -> None:
        self._here = threading.local()

    def over(self, pool: Executor) -> Executor:
        """The same threads, which know the batch that they are at."""
        return _Attended(pool, self._here)

    def wanted(self) -> bool:
        """False once every request of the batch has been answered otherwise, or its client has left."""
        batch: Batch | None = getattr(self._here, "batch", None)
        return batch is None or any(t.deliver is not None and not t.responder.closed for t in batch.tickets)


class _Attended(Executor):
    def __init__(self, pool: Executor, here: threading.local) -> None:
        self._pool = pool
        self._here = here

    def submit(self, run: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._pool.submit(lambda: self._at(run, *args, **kwargs))

    def _at(self, run: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._here.batch = next((one for one in args if isinstance(one, Batch)), None)
        try:
            return run(*args, **kwargs)
        finally:
            self._here.batch = None
