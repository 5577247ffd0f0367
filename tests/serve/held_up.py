"""When others of the machine kept this process from its cores: what is measured then tells nothing about the server."""

from __future__ import annotations

import asyncio
from time import perf_counter

LOOK_S = 0.01  # between two looks
LATE_S = 0.05  # a look that comes so much later was held up
AFTER_S = 1.0  # for what has queued up meanwhile to go


class HeldUp:
    """Watches an event loop of this process: `async with HeldUp() as held_up:`; times are perf_counter's."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HeldUp:
        self._task = asyncio.ensure_future(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _watch(self) -> None:
        while True:
            due = perf_counter() + LOOK_S
            await asyncio.sleep(LOOK_S)
            if (now := perf_counter()) > due + LATE_S:
                self.times.append((due, now))

    def touches(self, begin: float, end: float) -> bool:
        """Whether it was held up between these, or so shortly before that this may still be felt."""
        return any(since < end and begin < until + AFTER_S for since, until in self.times)

    def free(self, begin: float, end: float) -> list[float]:
        """The beginnings of whole seconds between these in which it was not."""
        seconds = [begin + i for i in range(int(end - begin))]
        return [s for s in seconds if not self.touches(s, s + 1)]
