"""Crew: the hosts of one script in this process, as one: each call goes to whichever has least to do.

Several hosts are for a script that computes on one thread: each has a process, and so an interpreter, of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from gantline.errors import Unavailable

from .link import Call
from .process import ScriptHost

if TYPE_CHECKING:
    import asyncio


class Crew:
    """Takes what a ScriptHost takes. `hosts`: not started yet, one at least."""

    def __init__(self, hosts: Sequence[ScriptHost]) -> None:
        self.hosts = tuple(hosts)
        self._lock = threading.Lock()
        self._blocked = dict.fromkeys(self.hosts, 0)  # threads in run() at each
        self._turn = os.getpid()  # workers that share hosts do not all begin with the same one
        self._loop: asyncio.AbstractEventLoop | None = None
        if len(self.hosts) > 1:
            for host in self.hosts:
                host.relief = self._relieve

    def __repr__(self) -> str:
        return f"<Crew {list(self.hosts)}>"

    def __len__(self) -> int:
        return len(self.hosts)

    @property
    def info(self) -> dict[str, Any]:
        """What the hosts say of the script, which is one and the same."""
        return self.hosts[0].info

    @property
    def depth(self) -> int:
        """Calls that each host may have."""
        return self.hosts[0].depth

    @property
    def pids(self) -> list[int]:
        """The processes that answer now."""
        return [host.pid for host in self.hosts if host.pid is not None]

    @property
    def in_flight(self) -> int:
        """Calls that wait or run."""
        return sum(host.in_flight for host in self.hosts)

    @property
    def restarts(self) -> int:
        """How often a process was started again."""
        return sum(host.restarts for host in self.hosts)

    def start(self) -> None:
        """Start all. The first one proves that the script loads; ScriptFailed or BadArtefact says why none is left."""
        first, *others = self.hosts
        try:
            first.start()
            if others:
                with ThreadPoolExecutor(len(others)) as pool:
                    list(pool.map(ScriptHost.start, others))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the processes and all that they started; calls on their way are refused."""
        for host in self.hosts:
            host.relief = None
        for host in self.hosts:
            host.close()

    async def drain(self) -> None:
        """Wait until every call has had its answer."""
        for host in self.hosts:
            await host.drain()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver on this loop from now on. Called on it; costs nothing when it is attached already."""
        if self._loop is not loop:
            self._loop = loop
            for host in self.hosts:
                host.attach(loop)

    def detach(self) -> None:
        """Forget the loop, before it is closed while the hosts live on. Called on it."""
        self._loop = None
        for host in self.hosts:
            host.detach()

    def submit(self, call: Call) -> None:
        """Give a call to a host. Unavailable when none can take it."""
        host = self.hosts[0] if len(self.hosts) == 1 else self._freest()
        call.host = host
        host.submit(call)

    def cancel(self, call: Call) -> bool:
        """Nobody waits for this call any longer. Whether its host has it, and so has still to answer."""
        with self._lock:
            return call.host is not None and call.host.cancel(call)

    def allow(self, call: Call, size: int) -> None:
        """The client has taken `size` bytes of its streamed answer."""
        if call.host is not None:
            call.host.allow(call, size)

    def run(self, calls: Sequence[Call], wanted: Callable[[], bool] | None = None) -> None:
        """ScriptHost.run, on one host; as many threads as there are hosts do not wait for each other."""
        with self._lock:
            host = self._freest()
            self._blocked[host] += 1
        try:
            for call in calls:
                call.host = host
            host.run(calls, wanted)
        finally:
            with self._lock:
                self._blocked[host] -= 1

    def _freest(self) -> ScriptHost:
        """One that has a process, and of those the one that has least to do; by turns where several are alike."""
        hosts = self.hosts
        self._turn = turn = (self._turn + 1) % len(hosts)
        return min(hosts[turn:] + hosts[:turn], key=self._load)

    def _load(self, host: ScriptHost) -> tuple[bool, int]:
        return host.link is None, max(host.in_flight, self._blocked[host])

    def _relieve(self, down: ScriptHost) -> None:
        """A host's process has died: what it had not begun goes to the others, if one of them has a process."""
        with self._lock:
            others = [host for host in self.hosts if host is not down and host.link is not None]
            if not others:
                return
            for call in down.release():
                call.host = min(others, key=self._load)
                try:
                    call.host.submit(call)
                except Unavailable as e:
                    down.turn_away([call], e.message)
