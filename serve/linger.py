"""Linger: stays awake for a moment after an answer when the next request is likely to come at once.

A loop with nothing to do sleeps in the kernel, and waking it takes longer than a small model does: on a virtual machine
a sleeping core has to be told by another. A client that sends one request after another is back sooner than that. So
the loop looks again and again instead, for at most LINGER_NS, and only where it has paid lately: network drivers know
this as busy polling. A wait in vain asks for a longer run of quick requests before the next.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from .process.cores import usable_cores

LINGER_NS = 150_000  # no longer than this in vain
QUICK_NS = 250_000  # what comes so soon after an answer would have been waited for, but for the time of waking up
EAGER = 4  # quick requests in a row, after which the loop lingers
WARY = 4096  # at most so many, after waits in vain


class Linger:
    """`soon` calls a function in the loop's next turn (call_soon). `clock` and the times are in nanoseconds.

    Where there is one core, the client could not come back before the loop lets go of it: nothing is done there.
    """

    __slots__ = ("_able", "_answered", "_awake", "_clock", "_needed", "_quick", "_soon")

    def __init__(
        self, soon: Callable[[Callable[[], None]], object], clock: Callable[[], int] = perf_counter_ns, cores: int = 0
    ) -> None:
        self._soon = soon
        self._clock = clock
        self._able = (cores or usable_cores()) > 1
        self._awake = False
        self._answered = -QUICK_NS
        self._quick = 0  # of those, in a row
        self._needed = EAGER

    def __repr__(self) -> str:
        return f"<Linger {'awake' if self._awake else 'asleep'}, {self._quick} quick of {self._needed}>"

    def answered(self, came: int) -> None:
        """The only client has its answer; its request came at `came`."""
        if came - self._answered > QUICK_NS:
            self._quick = 0
        else:
            self._quick += 1
        self._answered = self._clock()
        if self._quick >= self._needed and not self._awake and self._able:
            self._awake = True
            self._soon(self._look)

    def _look(self) -> None:
        """One more turn of the loop, which asks the kernel without sleeping, unless it has been in vain."""
        if self._clock() - self._answered < LINGER_NS:
            self._soon(self._look)
            return
        self._awake = False
        # so that clients that are quick only now and then cost next to nothing
        self._needed = min(2 * self._needed, WARY) if self._quick < 2 * self._needed else EAGER
        self._quick = 0
