"""Parallel: several transfers at once; the first that fails ends the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from .connections import Stopped

JOBS = 4


def in_parallel(jobs: int, tasks: Iterable[Callable[[], None]], stop: Callable[[], None]) -> None:
    """Run all, `jobs` at once. The first failure is raised when the others have ended, which `stop` makes them do."""
    pool = ThreadPoolExecutor(max(1, jobs), thread_name_prefix="gantline-transfer")
    try:
        for future in as_completed([pool.submit(task) for task in tasks]):
            future.result()
    except BaseException as e:  # an interrupt, too, which may come before all are begun
        stop()
        pool.shutdown(cancel_futures=True)
        if isinstance(e, Stopped):
            raise KeyboardInterrupt from e
        raise
    pool.shutdown()
