"""Process: one script host as its callers see it: it takes calls, survives the script's crashes, and can be closed.

supervise.py keeps the process alive from a thread of its own; here are the calls and what becomes of them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from gantline.errors import Unavailable

from . import channel as ch
from .link import FINAL, Call, Deliver, Link
from .ring import Message
from .supervise import Launch, Supervisor

if TYPE_CHECKING:
    import asyncio  # not at the start: a script's host waits for what comes before it

DEPTH = 2048  # calls that one host may have waiting and running
_SLICE_S = 0.05
_CANCELLED = Message(ch.REPLY, 0, ch.CANCELLED, 499, 0, b"", b"")


class ScriptHost:
    """Takes calls from an event loop (submit) or any thread (run); restarts its process when that dies."""

    def __init__(self, name: str, launch: Launch, timeout_s: float, depth: int = DEPTH) -> None:
        self.name = name
        self.grace_s: float = launch.config.get("grace_s", 0.0)  # for a script to stop; 0: it is not interrupted
        self.depth = depth
        self.timeout_s = timeout_s
        self.info: dict[str, Any] = {}
        self.link: Link | None = None  # set while the host is ready
        self.relief: Callable[[ScriptHost], None] | None = None  # who may take what waits when the process has died
        self._lock = threading.Lock()
        self._pending: deque[Call] = deque()
        self._retired: list[Link] = []
        self._last_id = 0
        self._refuse = f"model '{name}' is not loaded"  # why no calls are taken now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._calling = threading.Lock()
        self._supervisor = Supervisor(self, launch)

    def __repr__(self) -> str:
        return f"<ScriptHost {self.name} pid={self.pid} in_flight={self.in_flight} restarts={self.restarts}>"

    @property
    def pid(self) -> int | None:
        """The process that answers now, or None while there is none."""
        link = self.link
        return link.pid if link is not None else None

    @property
    def in_flight(self) -> int:
        """Calls that wait or run."""
        link = self.link
        return len(self._pending) + (len(link.calls) if link is not None else 0)

    @property
    def restarts(self) -> int:
        """How often the process was started again."""
        link = self.link
        return self._supervisor.restarts + (link.restarts if link is not None else 0)

    def start(self) -> None:
        """Start, and wait until the script has loaded. ScriptFailed or BadArtefact says what it did instead."""
        failure = self._supervisor.start()
        if failure is not None:
            self.close()
            raise failure

    def close(self) -> None:
        """Kill the process and all that it started; calls on their way are refused. Memory is given back."""
        self._supervisor.stop()
        self.refuse(f"model '{self.name}' is being unloaded")
        loop = self._loop
        if loop is None or threading.get_ident() == self._loop_thread or loop.is_closed():
            self._sweep()

    async def drain(self) -> None:
        """Wait until every call has had its answer (each has its time limit, so this ends)."""
        from asyncio import sleep

        while self.in_flight:  # noqa: ASYNC110  # calls end on several threads
            await sleep(0.01)

    # calls from an event loop

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver on this loop from now on. Called on it; costs nothing when it is attached already."""
        if self._loop is loop:
            return
        self._loop = loop
        self._loop_thread = threading.get_ident()
        link = self.link
        if link is not None:
            self._watch(link)

    def detach(self) -> None:
        """Forget the loop, before it is closed while the host lives on. Called on it."""
        if self._loop is not None and self.link is not None and not self.link.dead:
            self._loop.remove_reader(self.link.sock)
        self._loop = None

    def submit(self, call: Call) -> None:
        """Take a call; its `deliver` is called later, on the attached loop. Unavailable when full or down."""
        with self._lock:
            link = self.link
            waiting = len(self._pending)
            if waiting + (len(link.calls) if link is not None else 0) >= self.depth:
                raise Unavailable(
                    f"model '{self.name}': {self.depth} requests wait already; try again later", "queue_full"
                )
            if link is None and self._refuse:
                raise Unavailable(self._refuse)
            self._last_id = call.id = self._last_id % 0xFFFFFFFF + 1
            if link is None or waiting or not link.send(call):
                self._pending.append(call)

    def cancel(self, call: Call) -> bool:
        """Nobody waits for this call any longer: it is not begun, or stopped where that can be done. Whether the host
        has it, and so has still to answer.
        """
        with self._lock:
            if self.link is not None and call.id in self.link.calls:
                self.link.drop(call, self.grace_s > 0)
                return True
            if call in self._pending:
                self._pending.remove(call)
            return False

    def allow(self, call: Call, size: int) -> None:
        """The client has taken `size` bytes of its streamed answer."""
        with self._lock:
            if self.link is not None and call.id in self.link.calls:
                self.link.progress = monotonic()
                self.link.channel.allow(call.id, size)

    def _watch(self, link: Link) -> None:
        if not link.dead and self._loop is not None:
            self._loop.add_reader(link.sock, self._readable, link)

    def _readable(self, link: Link) -> None:
        if not link.receiving.acquire(blocking=False):
            return  # a thread in run() is at it
        try:
            messages = [] if link.dead else link.receive()
        finally:
            link.receiving.release()
        if link.dead and self._loop is not None:
            self._loop.remove_reader(link.sock)
        self._handle(link, messages)

    def _handle(self, link: Link, messages: list[Message]) -> None:
        found = []
        calls = link.calls
        with self._lock:
            for message in messages:
                call = calls.get(message.id)
                if call is None:
                    continue
                if message.kind in FINAL:
                    del calls[message.id]
                found.append((call, message))
            if self._pending:
                self._flush()
        for call, message in found:
            self._hand(call, message)
        if link.dead:
            self._supervisor.nudge()

    def _flush(self) -> None:
        while self._pending and self.link is not None and self.link.send(self._pending[0]):
            self._pending.popleft()

    def _hand(self, call: Call, message: Message) -> None:
        loop = self._loop
        if call.direct or loop is None or threading.get_ident() == self._loop_thread:
            call.deliver(message)
        else:
            self._on_loop(loop, call.deliver, message)

    def _on_loop(self, loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            loop.call_soon_threadsafe(function, *arguments)

    # calls from a thread

    def run(self, calls: Sequence[Call], wanted: Callable[[], bool] | None = None) -> None:
        """Submit calls made with `direct` and block until each has had its final message.

        `wanted` is asked now and then whether anybody waits; when nobody does, they are cancelled.
        """
        count = _Countdown()
        for call in calls:
            call.deliver = count.after(call)
        step = max(self.depth // 2, 1)
        with self._calling:
            for at in range(0, len(calls), step):
                some = calls[at : at + step]
                count.start(some)
                for call in some:
                    self.submit(call)
                dropped = False
                while not count.zero.is_set():
                    self._receive_or_wait(count.zero)
                    if wanted is not None and not dropped and not count.zero.is_set() and not wanted():
                        dropped = True
                        self._drop(list(count.left))
                if dropped:
                    for call in calls[at + step :]:
                        call.deliver(_CANCELLED)
                    return

    def _drop(self, calls: list[Call]) -> None:
        for call in calls:
            if not self.cancel(call):
                call.deliver(_CANCELLED)  # it was with nobody who could say so

    def _receive_or_wait(self, done: threading.Event) -> None:
        link = self.link
        if link is None or link.dead:
            done.wait(_SLICE_S)
            return
        with link.receiving:
            # in slices: another thread may get our answer, or bury the link
            if link.dead or done.is_set() or not link.wait(_SLICE_S):
                return
            messages = link.receive()
        self._handle(link, messages)

    # what the supervisor tells, from its thread

    def ready(self, link: Link, info: dict[str, Any]) -> None:
        """A process has loaded the script: what waits goes to it."""
        with self._lock:
            self.info = info
            self._refuse = ""
            link.progress = monotonic()
            link.side_by_side = info.get("decoupled", False)
            self.link = link
            self._flush()
        if self._loop is not None:
            self._on_loop(self._loop, self._watch, link)

    def lost(self, link: Link, flags: int) -> int:
        """A process is dead. What it had begun fails, the rest waits for the next; how many failed."""
        link.dead = True
        with link.receiving:
            messages = link.receive()  # answers that it gave before
        self._handle(link, messages)
        with self._lock:
            begun = [c for c in link.calls.values() if link.taken(c)]
            self._pending.extendleft(c for c in reversed(link.calls.values()) if not link.taken(c))
            link.calls.clear()
            self.link = None
            self._retired.append(link)
        if self.relief is not None:
            self.relief(self)
        for call in begun:
            self._hand(call, Message(ch.BROKEN, call.id, flags | ch.DIED, 500, 0, b"", b""))
        if self._loop is not None and not self._loop.is_closed():
            self._on_loop(self._loop, self._sweep)
        else:
            self._sweep()
        return len(begun)

    def release(self) -> list[Call]:
        """What waits here, for another host to take; but not what a thread in run() waits for on this one."""
        with self._lock:
            released = [call for call in self._pending if not call.direct]
            self._pending = deque(call for call in self._pending if call.direct)
        return released

    def refuse(self, why: str) -> None:
        """There will be no process soon: who waits is told so, and who comes, until ready() is called."""
        with self._lock:
            self._refuse = why
            refused = list(self._pending)
            self._pending.clear()
        self.turn_away(refused, why)

    def turn_away(self, calls: Sequence[Call], why: str) -> None:
        """Tell those who wait for calls that were not begun that they will not be."""
        for call in calls:
            self._hand(call, Message(ch.BROKEN, call.id, 0, 503, 0, b"", why.encode()))

    def _sweep(self) -> None:
        # on the loop, which must not watch a socket that is closed
        while self._retired:
            link = self._retired.pop()
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(link.sock)
            link.close()


class _Countdown:
    """Calls that are not answered yet."""

    def __init__(self) -> None:
        self.zero = threading.Event()
        self.left: set[Call] = set()

    def start(self, calls: Sequence[Call]) -> None:
        self.left = set(calls)
        self.zero.clear()

    def after(self, call: Call) -> Deliver:
        deliver = call.deliver

        def counted(message: Message) -> None:
            deliver(message)
            if message.kind in FINAL:
                self.left.discard(call)
                if not self.left:
                    self.zero.set()

        return counted
