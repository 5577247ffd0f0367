"""Worker: one of several serving processes, as its supervisor starts it: `python -m gantline.serve.process.worker`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from gantline.errors import GantlineError, Unavailable

from ..app import Stack, build_stack
from ..control import Arguments, Effect
from ..fronts.http1 import Http1
from ..repository import Slot
from ..shelf import look
from .announcement import report
from .handover import from_json
from .link import Link, Message, error_fields, error_of
from .log import set_up_log
from .server import Server, run, run_to_end

_log = logging.getLogger("gantline.worker")


class WorkerServer(Server):
    """One of several. Its own signals only ever begin its end: a second one may be a copy, for all processes."""

    def __init__(self, stack: Stack, link: Link, grpc_port: int, own: Path) -> None:
        """`own`: the socket by which other workers reach this one alone."""
        # what another worker answers, this one must, too: it listens when it has loaded what there is
        super().__init__(stack, early=False, grpc_port=grpc_port)
        self._own = own
        self.whole = False  # until the supervisor says so: the others accept what this one leaves
        self._link = link

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._own.unlink(missing_ok=True)  # of the worker before this one
            make = partial(Http1, self.stack.front, self.config, self.server_state, self.lifespan.state)
            self.servers.append(await asyncio.get_running_loop().create_unix_server(make, self._own))
            self._link.send("opened")

    def stop(self) -> None:
        """Begin to stop, once; another worker will be started."""
        if not self.stack.front.draining:
            self._link.send("leaving")
            self.drain()

    def stop_with_all(self, served: bool, seconds: float | None = None) -> None:
        """The whole server stops. `served`: others listen, so that one that does not yet need not begin."""
        self.whole = True
        if served and not self.listening.is_set():
            self.accepts = False
        if not self.stack.front.draining:
            self.drain(seconds)


class Worker:
    """This process's half of the link: it does what the supervisor asks, and asks it for what concerns all."""

    def __init__(self, number: int, link: Link) -> None:
        self.number = number
        self.link = link
        self.url = ""
        self._server: WorkerServer
        self._stack: Stack
        self._built = asyncio.Event()  # these two are there
        self._released = asyncio.Event()  # it may serve, or must end
        self._ids = count(1)
        self._asked: dict[int, asyncio.Future[list[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> bool:
        """Serve until told to stop; whether everything accepted was answered."""
        start = await self.link.receive()
        if start is None:
            return True  # the supervisor is gone already
        listening = asyncio.ensure_future(self._serve(start))
        try:
            return await listening
        except GantlineError as e:
            self.link.send("failed", **error_fields(e))
            return True
        finally:
            await self.link.close()

    async def _serve(self, start: Message) -> bool:
        resolved = from_json(start["resolved"])
        set_up_log(resolved.settings, self.number)
        self.url = start["url"]
        listener = socket.socket(fileno=start["listener"])
        hearing = asyncio.ensure_future(self._hear())
        try:
            # on a thread: the loop answers heartbeats, however long the disk takes
            entries, shelf = await asyncio.to_thread(look, resolved, start["refs"], start["followed"])
            self._build(build_stack(resolved, entries, shelf), start)
            return await run(self._server, listener, None, self._loaded)
        finally:
            hearing.cancel()

    def _build(self, stack: Stack, start: Message) -> None:
        stack.control.fan_out = self._fan_out
        stack.readiness.others = False
        stack.loader.common = Path(start["folder"])
        own = stack.loader.affinity.join(stack.loader.common, self.number, start["workers"])
        self._server = WorkerServer(stack, self.link, start["grpc_port"], own)
        self._stack = stack
        self._built.set()

    async def _loaded(self, failed: list[Slot]) -> None:
        """Every model has been tried: wait to be let go on."""
        self.link.send("loaded", report=report(self._stack, failed, self.url))
        await self._released.wait()

    async def _hear(self) -> None:
        """Do what the supervisor says; when it is gone, finish what was accepted and end."""
        while (message := await self.link.receive()) is not None:
            if message["kind"] == "beat":
                with suppress(Unavailable):  # so much is on its way to the supervisor that it will not miss this
                    self.link.send("beat")
                continue
            await self._built.wait()
            self._obey(message)
        _log.error("the supervisor is gone: stopping")
        await self._built.wait()
        for future in self._asked.values():
            future.set_exception(Unavailable("the server is stopping"))
        self._released.set()
        self._server.stop_with_all(False, 0.0)

    def _obey(self, message: Message) -> None:
        kind = message["kind"]
        if kind == "run":
            task = asyncio.ensure_future(self._do(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif kind == "answers":
            self._answered(message)
        elif kind == "serve":
            self._stack.readiness.others = message["ready"]
            self._released.set()
        elif kind == "drain":
            self._server.stop_with_all(message["served"])
            self._released.set()
        elif kind == "stop":
            self._released.set()
            self._server.stop_now()

    async def _do(self, message: Message) -> None:
        """Do a verb here."""
        id = message["id"]
        try:
            answer = await self._stack.control.here(message["verb"], message["arguments"])
            self.link.send("done", id=id, answer=answer)
        except Exception as e:
            if not isinstance(e, GantlineError):
                _log.exception("'%s'", message["verb"])
            self.link.send("done", id=id, **error_fields(e))

    async def _fan_out(self, verb: str, arguments: Arguments, effect: Effect | None) -> list[Any]:
        """Have a verb done in all workers, this one too; their answers."""
        id = next(self._ids)
        future = self._asked[id] = asyncio.get_running_loop().create_future()
        try:
            changes = None
            if effect is not None:
                changes = [effect.subject, effect.undoes, [*effect.undo] if effect.undo is not None else None]
            self.link.send("ask", id=id, verb=verb, arguments=arguments, effect=changes)
            answers: list[Any] = await future
            return answers
        finally:
            del self._asked[id]

    def _answered(self, message: Message) -> None:
        future = self._asked.get(message["id"])
        if future is None or future.done():
            return
        error = error_of(message)
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(message["answers"])


def main(words: list[str]) -> int:
    """`words`: the worker's number, and the file of its link."""
    number, file = int(words[0]), int(words[1])
    os.set_inheritable(file, False)

    async def work() -> bool:
        return await Worker(number, await Link.open(socket.socket(fileno=file))).run()

    return run_to_end(work())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
