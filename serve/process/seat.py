"""Seat: one worker as its supervisor sees it: its process, its link, and what it was asked and has not answered."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from itertools import count
from typing import Any

from gantline.errors import GantlineError, Unavailable

from .link import Link, Message, error_of
from .pulse import Pulse

MAX_CALLS = 256  # that one worker may be at
END_S = 5.0  # for a process to end after it has closed its link
_log = logging.getLogger("gantline.supervisor")


class WorkerGone(Exception):
    """The worker died before it answered: the next one in its seat answers for it, by being brought up to date."""


class Seat:
    """A place for one worker at a time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.failure: GantlineError | None = None  # what the worker said was wrong, before it ended
        self.pulse = Pulse()
        self._killed = False
        self._process: asyncio.subprocess.Process | None = None
        self._link: Link | None = None
        self._ids = count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}

    def __repr__(self) -> str:
        return f"<Seat {self.number} pid={self.pid} calls={len(self._calls)}>"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def silent(self) -> bool:
        """Whether there is no point in waiting for it now."""
        return self.pulse.silent

    async def start(self, start: Message, files: tuple[int, ...]) -> None:
        """Start a process that inherits `files`, and tell it `start`."""
        ours, theirs = socket.socketpair()
        self.failure = None
        self.pulse = Pulse()
        self._killed = False
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *_interpreter_flags(), "-m", "gantline.serve.process.worker",
                str(self.number), str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *files),
                start_new_session=True,  # Ctrl-C is for the supervisor, which tells the workers
            )  # fmt: skip
        self._link = await Link.open(ours)
        self._link.send("start", **start)

    async def receive(self) -> Message | None:
        """What the worker says, but for answers to `call` and to `beat`; None when it is gone."""
        assert self._link is not None
        while (message := await self._link.receive()) is not None:
            self.pulse.heard()
            if message["kind"] == "done":
                self._answered(message)
            elif message["kind"] == "beat":
                self.pulse.answered()
            else:
                return message
        return None

    async def end(self) -> int:
        """After the link has closed: see the process out; its exit status, negative for a signal."""
        assert self._process is not None and self._link is not None
        link, self._link = self._link, None  # first: a question that comes from now on finds nobody
        for future in self._calls.values():
            if not future.done():
                future.set_exception(WorkerGone())
        await link.close()
        try:
            status = await asyncio.wait_for(self._process.wait(), END_S)
        except TimeoutError:
            self.kill()
            status = await self._process.wait()
        self._process = None
        return status

    def tell(self, kind: str, **fields: Any) -> None:
        """Send a message, if anybody is there; one that does not read is ended."""
        if self._link is None:
            return
        try:
            self._link.send(kind, **fields)
        except Unavailable:
            self.kill()

    def beat(self, passed_s: float, limit_s: float) -> bool:
        """A tick of its pulse, after so long; whether it hangs (see Pulse), and has not been killed for it."""
        if self._link is None or self._killed:
            return False
        if self.pulse.tick(passed_s):
            self.tell("beat")
        return self.pulse.hangs(limit_s)

    def replace(self, why: str) -> None:
        """Have another process take this one's place; what it has accepted is answered first, if it can be."""
        _log.error("worker %d is to be replaced: %s", self.number, why)
        if self.silent:
            self.kill()
        elif self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process now."""
        self._killed = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def call(self, verb: str, arguments: dict[str, Any], seconds: float) -> Any:
        """Let the worker do a verb. Its own GantlineError, WorkerGone, or Unavailable when it takes too long."""
        if self._link is None:
            raise WorkerGone
        if len(self._calls) >= MAX_CALLS:
            raise Unavailable(f"worker {self.number} is at {MAX_CALLS} control calls already; try again later")
        id = next(self._ids)
        future = self._calls[id] = asyncio.get_running_loop().create_future()
        try:
            self._link.send("run", id=id, verb=verb, arguments=arguments)
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise Unavailable(f"worker {self.number} did not finish '{verb}' within {seconds:g} s") from None
        finally:
            del self._calls[id]

    def _answered(self, message: Message) -> None:
        future = self._calls.get(message["id"])
        if future is None or future.done():
            return  # nobody waits any longer
        error = error_of(message)
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(message["answer"])


def _interpreter_flags() -> list[str]:
    return ["-I"] if sys.flags.isolated else ["-P"] if sys.flags.safe_path else []
