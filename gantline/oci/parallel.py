"""Parallel: several transfers at once; the first that fails ends the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from .connections import Stopped

JOBS = 4


def in_parallel(jobs: int, tasks: Iterable[Callable[[], None]], stop: Callable[[], None]) -> None:
    """Run all, `jobs` at once. The first failure is raised when the others have ended, which `stop` makes them do."""
    with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="gantline-transfer") as pool:
        futures: list[Future[None]] = [pool.submit(task) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException as e:
            for future in futures:
                future.cancel()
            stop()
            if isinstance(e, Stopped):
                raise KeyboardInterrupt from e
            raise
