"""Scale: what loading a model adds to this process's memory, as far as that can be told from everything else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .telemetry.memory import own_memory


@dataclass(slots=True)
class Weighing:
    """`growth`: bytes by which the process's own resident memory has grown; 0: not known, or hidden."""

    growth: int = 0


class Scale:
    """Weighs one load at a time: of those that overlap with another, or with an unload, nothing is known.

    Used on the event loop. Bodies of requests that come meanwhile are weighed, too.
    """

    def __init__(self) -> None:
        self._on = 0  # weighings under way
        self._turn = 0  # changes whenever what is weighed is not alone any more

    @contextmanager
    def weigh(self) -> Iterator[Weighing]:
        """Around a load; the result is there when it ends."""
        self.stir()
        turn, alone, weighing, pid = self._turn, not self._on, Weighing(), os.getpid()
        self._on += 1
        before = own_memory(pid)
        try:
            yield weighing
        finally:
            self._on -= 1
            if alone and turn == self._turn and before:
                weighing.growth = max(own_memory(pid) - before, 0)

    def stir(self) -> None:
        """Memory is given back: who is being weighed now cannot be."""
        self._turn += 1
