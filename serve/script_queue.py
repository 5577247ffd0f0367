"""Script queue: which requests of /score a script's host is given, and when. The sibling of Dispatch.

A host takes its calls in the order in which it got them. So it gets only what keeps it busy until more can come; the
rest waits in a Batcher, under the bounds, deadlines, priorities and shares that hold for any model's requests.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import perf_counter_ns
from typing import Protocol

from gantline.accelerators.script import batch
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.crew import Crew
from gantline.accelerators.script.link import FINAL, Call
from gantline.accelerators.script.ring import Message

from gantline.errors import DeadlineExceeded, GantlineError, Unavailable

from .alarm import Alarm
from .batcher import Batcher
from .policy import QueuePolicy
from .statistics import Statistics
from .ticket import DONE, WAITING, Ticket

AHEAD_NS = 2_000_000  # of run() that lies with a host which is at one call at a time: more would outlast a wake-up
_LEAST, _MOST = 2, 256  # calls that a host has in any case, and at most
_LONG_NS = 10_000_000  # of run(), beside which a wake-up is nothing
_SPAN_NS = 20_000_000  # answers come in bunches: the rate is measured over so long
_AT_ONCE = 64  # refusals in one turn of the loop
_log = logging.getLogger("gantline.score")


class Caller(Protocol):
    """Who asks; a ticket's context."""

    call: Call

    def heard(self, message: Message) -> None:
        """A message about the call."""
        ...

    def refused(self, error: GantlineError) -> None:
        """No other message will come."""
        ...

    def over(self) -> None:
        """Nothing of the call is kept any longer. The last thing it is told."""
        ...


class ScriptQueue:
    """The requests of /score for one script. Made and called on the event loop."""

    def __init__(self, crew: Crew, policy: QueuePolicy, statistics: Statistics) -> None:
        self.batcher = Batcher(policy.unstacked())
        self.statistics = statistics
        self._crew = crew
        self._loop = asyncio.get_running_loop()
        self._with_host: set[Ticket] = set()
        self._run_ns = AHEAD_NS // 8  # moving average, of scripts that are at one call at a time
        # scripts that are at many at once wait for something else than a processor, and get all they can take
        info = crew.info
        many = crew.depth // 2 if info.get("concurrent") else 2 * batch.LARGEST if info.get("batch") else 0
        self._many = many
        self.room = len(crew) * (many or AHEAD_NS // self._run_ns)  # calls that the hosts may have
        self._alarm = Alarm(self._loop, self.batcher, self._late, self._go)
        self._idle = asyncio.Event()
        # since the rate was last told: how many were answered, when the oldest of them came, whether some always waited
        self._since = self._oldest = perf_counter_ns()
        self._answered = 0
        self._stood = False
        self._span = min(_SPAN_NS, policy.target_ns // 8 or _SPAN_NS)

    def __repr__(self) -> str:
        return f"<ScriptQueue {self.running}/{self.room} with the host, {len(self.batcher)} wait>"

    @property
    def running(self) -> int:
        """Calls that the host has."""
        return len(self._with_host)

    def submit(self, ticket: Ticket) -> None:
        """Queue a ticket whose context is a Caller. Overloaded when it may not wait; then the caller hears nothing."""
        now = ticket.request.queued
        self._crew.attach(self._loop)
        for other in self.batcher.add(ticket, now):
            reason = "queue_full" if other.lane.tenant is ticket.lane.tenant else "share"
            self._refuse(other, self.batcher.refusal(ticket.request.model, reason))
        ticket.context.call.deliver = partial(self._heard, ticket)
        if ticket.request.deadline:
            self._alarm.watch(now)
        self._go()

    def leave(self, ticket: Ticket) -> None:
        """The client has gone: its call is not begun, or stopped where that can be done."""
        if ticket.state == WAITING:
            self.batcher.drop(ticket)
            self._left(ticket)
        elif ticket in self._with_host and not self._crew.cancel(ticket.context.call):
            self._with_host.discard(ticket)
            ticket.state = DONE
            self._left(ticket)
            self._go()

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits or runs."""
        return not (self._with_host or len(self.batcher))

    async def drain(self) -> None:
        """Wait until nothing waits or runs."""
        while not self.at_rest:
            self._idle.clear()
            await self._idle.wait()

    # -- to the host

    def _go(self) -> None:
        """Give the host what it has room for."""
        batcher, refused = self.batcher, 0
        while len(self._with_host) < self.room and len(batcher):
            now = perf_counter_ns()
            if batcher.next_deadline and batcher.next_deadline <= now:
                self._alarm.expire(now)  # what is due must not begin because the loop was late
                continue
            found = batcher.take(now)
            for ticket in batcher.left:
                self._left(ticket)
            batcher.left.clear()
            if found is None:
                break
            (ticket,) = found.tickets
            self._with_host.add(ticket)
            try:
                self._crew.submit(ticket.context.call)
            except GantlineError as e:
                self._with_host.discard(ticket)
                self._refuse(ticket, e)
                refused += 1
                if refused == _AT_ONCE:
                    self._loop.call_soon(self._go)
                    return
        if not len(batcher):
            self._stood = False
            if not self._with_host:
                self._idle.set()

    # -- and back

    def _heard(self, ticket: Ticket, message: Message) -> None:
        final = message.kind in FINAL
        if ticket.state != DONE:  # else its deadline has passed
            if final:
                ticket.state = DONE
            try:
                if message.kind == ch.BROKEN and message.status == 503:  # it was never begun
                    ticket.context.refused(Unavailable(message.body.decode()))
                else:
                    ticket.context.heard(message)
            except Exception:  # one answer that cannot be sent must not stop the script for all
                _log.exception("model '%s': an answer could not be delivered", ticket.request.model)
        if final and ticket in self._with_host:
            self._with_host.discard(ticket)
            self._end(ticket)
            if message.flags & ch.RAN and not self._many:
                self._run_ns += (message.aux - self._run_ns) >> 3
                self.room = self._room()
            self._measure(ticket.request.arrived)
            self._go()

    def _room(self) -> int:
        """How many calls keep the hosts busy. Of several no one gets a long call ahead: another may be free sooner."""
        hosts = len(self._crew)
        least = 1 if hosts > 1 and self._run_ns > _LONG_NS else _LEAST
        return hosts * min(max(AHEAD_NS // max(self._run_ns, 1), least), _MOST)

    def _measure(self, arrived: int) -> None:
        """Tell admission how fast the queue empties, and refuse what it finds hopeless."""
        now, batcher = perf_counter_ns(), self.batcher
        self._answered += 1
        self._oldest = min(self._oldest, arrived)
        waiting = len(batcher)
        if waiting and now - self._since < self._span:
            return
        batcher.admission.observe(now, self._answered, self._oldest, waiting, self._stood, _LEAST * len(self._crew))
        self._since = self._oldest = now
        self._answered = 0
        self._stood = waiting > 0
        for ticket in batcher.shed():
            self._refuse(ticket, batcher.refusal(ticket.request.model, "admission"))

    def _refuse(self, ticket: Ticket, error: GantlineError) -> None:
        ticket.state = DONE
        ticket.context.refused(error.with_traceback(None))
        self._end(ticket)

    def _left(self, ticket: Ticket) -> None:
        self.statistics.cancelled += 1
        self._end(ticket)
        if not (self._with_host or len(self.batcher)):
            self._idle.set()

    def _end(self, ticket: Ticket) -> None:
        caller, ticket.context = ticket.context, None  # they refer to each other
        caller.call.deliver = _nobody
        caller.over()

    def _late(self, ticket: Ticket, error: DeadlineExceeded) -> None:
        """A ticket's time has run out, whatever the script is doing."""
        if ticket not in self._with_host:
            self._refuse(ticket, error)
            return
        ticket.context.refused(error)  # and its place is taken until the host has put it away
        if not self._crew.cancel(ticket.context.call):
            self._with_host.discard(ticket)
            self._end(ticket)


def _nobody(message: Message) -> None:
    """Takes no notice."""
