"""Standby: a model that is known, takes requests, and is loaded when the first one comes.

Whoever looks a model up gets this error instead of the model, and has it waited for: `when_loaded` for those that are
called back, `loaded` for coroutines. Who does neither answers 503.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gantline.errors import GantlineError, Unavailable

if TYPE_CHECKING:
    import asyncio

    from .model import Model

TEXT = "not loaded; its first request loads it"


class Waker(Protocol):
    """Who loads models on demand (an on_demand.OnDemand)."""

    def wakes(self, name: str) -> bool:
        """Whether a request for a known model that is not loaded has it loaded."""
        ...

    def wait(self, name: str, deadline: int = 0, size: int = 0) -> asyncio.Future[None]:
        """Done when the model has been loaded; DeadlineExceeded, Unavailable or Overloaded in it when that fails.

        Overloaded at once where too many wait. `deadline`: perf_counter_ns, 0 for none; `size`: of a body kept.
        """
        ...


class Standby(Unavailable):
    """The model is not loaded, and can be waited for."""

    def __init__(self, name: str, waker: Waker) -> None:
        super().__init__(f"model '{name}' is {TEXT}", "not_ready")
        self.name = name
        self.waker = waker


def when_loaded(
    error: GantlineError, again: Callable[[], object], refuse: Callable[[GantlineError], object],
    deadline: int = 0, size: int = 0,
) -> None:  # fmt: skip
    """Call `again` when the model that was looked up is loaded, or `refuse`: now for every other error, or later."""
    if not isinstance(error, Standby):
        refuse(error)
        return
    try:
        waiting = error.waker.wait(error.name, deadline, size)
    except GantlineError as e:
        refuse(e.with_traceback(None))
        return

    def over(future: asyncio.Future[None]) -> None:
        failed = future.exception()
        if failed is None:
            again()
        else:
            assert isinstance(failed, GantlineError), failed
            refuse(failed)

    waiting.add_done_callback(over)


async def loaded(find: Callable[[], Model]) -> Model:
    """What `find` finds, when it is loaded. GantlineError otherwise."""
    while True:
        try:
            return find()
        except Standby as e:
            waiting = e.waker.wait(e.name)
        await waiting
