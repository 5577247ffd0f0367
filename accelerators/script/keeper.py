"""Keeper: a process that keeps one script's host for several server processes: the host's only server, their only host.

To each of them it looks like a host (joined.py is their end), to the host like a server; process.py's ScriptHost in the
middle has the restarts, the time limits and the order of calls. It ends when the last of those whom it serves has left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from gantline.errors import GantlineError

from . import channel as ch
from .channel import WINDOW, Channel, Gone, join_mapping
from .joined import locked
from .link import FINAL, Call, Link
from .process import ScriptHost
from .ring import Damaged, Message
from .supervise import Launch
from .watch import heed_no_signal

DEPTH = 1 << 20  # calls under way; each of those who ask has a limit of its own
UNASKED_S = 10.0  # for whoever started us to connect
AGAIN_S = 0.005  # a full link is tried again
MAX_SAID = 1 << 20  # bytes of log for somebody who does not read


class Desk:
    """One server process that shares the host: its calls, and what is on its way to it."""

    def __init__(self, keeper: Keeper, control: socket.socket) -> None:
        self._keeper = keeper
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None  # None: it has not said what to use
        self._calls: dict[int, _Asked] = {}
        self._unsent: deque[tuple[int, Message]] = deque()
        self._unsaid = bytearray()
        self._retry: asyncio.TimerHandle | None = None
        self._rings = False
        control.setblocking(False)
        self._loop.add_reader(control, self._controlled)

    @property
    def there(self) -> bool:
        """Whether it hears what is said."""
        return self._channel is not None

    def say(self, line: str) -> None:
        """Tell it a line. One that does not listen loses what does not fit."""
        if len(self._unsaid) < MAX_SAID:
            self._unsaid += line.encode("utf-8", "replace") + b"\n"
        with suppress(OSError):
            del self._unsaid[: self._control.send(self._unsaid)]
        if self._unsaid:
            self._try_again()

    def send(self, id: int, message: Message) -> None:
        """Pass a message on; it waits here while there is no room."""
        self._unsent.append((id, message))
        if len(self._unsent) == 1:
            self._flush()

    def close(self) -> None:
        """It has left: its calls are dropped."""
        self._loop.remove_reader(self._control)
        self._control.close()
        if self._retry is not None:
            self._retry.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            self._loop.remove_reader(channel.sock)
            channel.close()
        self._unsent.clear()
        for asked in list(self._calls.values()):
            self._keeper.host.cancel(asked.call)
        self._calls.clear()

    def _controlled(self) -> None:
        try:
            data, files, _, _ = socket.recv_fds(self._control, 1, 2)
        except BlockingIOError:
            return
        except OSError:
            data, files = b"", []
        if not data or len(files) != 2:
            for file in files:
                os.close(file)
            self._keeper.left(self)
            return
        sock = socket.socket(fileno=files[0])
        sock.setblocking(False)
        self._channel = Channel(sock, join_mapping(files[1]), parent=False)
        os.close(files[1])
        self._loop.add_reader(sock, self._readable)
        self._keeper.sits(self)
        self._readable()

    def _readable(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            with suppress(BlockingIOError):
                channel.read_records()
            channel.awake()
            while True:
                message = channel.take()
                if message is not None:
                    self._begin(message)
                elif channel.may_sleep():
                    break
        except (Gone, Damaged, OSError):
            self._keeper.left(self)
            return
        self._heed(channel)
        self._flush()

    def _begin(self, message: Message) -> None:
        id = message.id
        asked = _Asked(self, id, message, bool(self._keeper.host.info.get("decoupled")))
        self._calls[id] = asked
        try:
            self._keeper.host.submit(asked.call)
        except GantlineError as e:
            asked.answer(Message(ch.BROKEN, id, 0, 503, 0, b"", e.message.encode()))

    def _heed(self, channel: Channel) -> None:
        """Pass on what it has told of calls under way."""
        host = self._keeper.host
        for id in channel.cancelled:
            asked = self._calls.get(id)
            if asked is not None and not host.cancel(asked.call):
                asked.answer(Message(ch.REPLY, id, ch.CANCELLED, 499, 0, b"", b""))
        channel.cancelled.clear()
        for id, size in channel.credit.items():
            if size and (asked := self._calls.get(id)) is not None:
                channel.credit[id] = 0
                asked.taken(size)
                host.allow(asked.call, size)

    def answered(self, id: int, message: Message) -> None:
        """Called with each message about a call of its."""
        if id not in self._calls or self._channel is None:
            return  # it was cancelled, or nobody is there
        if message.kind in FINAL:
            del self._calls[id]
            self._channel.credit.pop(id, None)
        elif message.kind == ch.CHUNK:
            self._channel.credit.setdefault(id, 0)
        self.send(id, message)

    def _flush(self) -> None:
        channel = self._channel
        if channel is None:
            return
        while self._unsent:
            id, message = self._unsent[0]
            kind, _, flags, status, aux, meta, body = message
            if not channel.send(kind, id, flags, status, aux, meta, body):
                self._try_again()
                break
            self._unsent.popleft()
            if not self._rings:  # what is sent in one turn of the loop shares one bell
                self._rings = True
                self._loop.call_soon(self._ring)

    def _ring(self) -> None:
        self._rings = False
        if self._channel is not None:
            self._channel.wake()

    def _try_again(self) -> None:
        if self._retry is None:
            self._retry = self._loop.call_later(AGAIN_S, self._tried)

    def _tried(self) -> None:
        self._retry = None
        if self._channel is not None:
            self._channel.wake()
        if self._unsaid:
            with suppress(OSError):
                del self._unsaid[: self._control.send(self._unsaid)]
        self._flush()
        if self._unsaid or self._unsent:
            self._try_again()


class _Asked:
    """One call on its way through. `ahead`: what the host has sent of a streamed answer and the client not taken."""

    def __init__(self, desk: Desk, id: int, message: Message, decoupled: bool) -> None:
        self._desk = desk
        self._id = id
        self._decoupled = decoupled
        self._ahead = 0
        self.call = Call(message.kind, message.body, self.answer, message.status, message.meta)

    def answer(self, message: Message) -> None:
        if message.kind == ch.CHUNK:
            size = len(message.body)
            self.taken(-(ch.cost(size) if self._decoupled else size))
        self._desk.answered(self._id, message)

    def taken(self, size: int) -> None:
        self._ahead -= size
        self.call.waiting = self._ahead >= WINDOW  # the host may send no more: its client is slow


class Keeper:
    """The desks, and the host that they share."""

    def __init__(self, launch: Launch, listener: socket.socket, path: Path) -> None:
        launch.config["parent"] = os.getpid()
        self.host = _Host(self, launch)
        self._listener = listener
        self._path = path
        self._desks: list[Desk] = []
        self._ready: Message | None = None  # what a desk is told first
        self._unlinked = False
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Until everybody has left."""
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)
        self._loop.call_later(UNASKED_S, self._leave)
        self.host.attach(self._loop)
        starting = asyncio.ensure_future(asyncio.to_thread(self.host.start))
        starting.add_done_callback(self._started)
        await self._over.wait()
        await asyncio.to_thread(self.host.close)
        with suppress(GantlineError):
            await starting

    def sits(self, desk: Desk) -> None:
        """A desk can be spoken to."""
        if self._ready is not None:
            desk.send(0, self._ready)
        if desk is self._eldest():
            self.tell_pid()

    def left(self, desk: Desk) -> None:
        """Somebody has gone, however that came."""
        eldest = self._eldest()
        self._desks.remove(desk)
        desk.close()
        if desk is eldest:
            self.tell_pid()
        self._leave()

    def say(self, line: str) -> None:
        """To one of them: what was written once is logged once."""
        eldest = self._eldest()
        if eldest is not None:
            eldest.say(line)

    def tell_pid(self) -> None:
        """Who the host is, and how often it was started again."""
        self.say(f"pid {self.host.pid or 0} {self.host.restarts}")

    def _eldest(self) -> Desk | None:
        return next((desk for desk in self._desks if desk.there), None)

    def _started(self, starting: asyncio.Future[None]) -> None:
        error = starting.exception()
        if error is None:
            self._tell_all(Message(ch.READY, 0, 0, 0, 0, b"", json.dumps(self.host.info).encode()))
            return
        # another try is another keeper's: the reason may be gone by then
        self._unlink()
        facts: dict[str, Any] = {"error": type(error).__name__, "text": str(error)}
        self._tell_all(Message(ch.FAILED, 0, 0, 0, 0, b"", json.dumps(facts).encode()))

    def _tell_all(self, message: Message) -> None:
        self._ready = message
        for desk in self._desks:
            if desk.there:
                desk.send(0, message)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._desks.append(Desk(self, self._listener.accept()[0]))

    def _leave(self) -> None:
        """End, unless somebody is there or just coming: whoever comes later finds nobody, and starts another keeper."""
        if self._desks or self._over.is_set():
            return
        try:
            with locked(self._path, wait=False):
                self._accept()
                if self._desks:
                    return
                self._unlink()
        except BlockingIOError:
            self._loop.call_later(AGAIN_S, self._leave)
            return
        except FileNotFoundError:
            pass  # the folder is gone, and the server with it
        self._loop.remove_reader(self._listener)
        self._over.set()

    def _unlink(self) -> None:
        if not self._unlinked:
            self._unlinked = True
            self._path.unlink(missing_ok=True)


class _Host(ScriptHost):
    """The host, as one that tells its keeper of each process."""

    def __init__(self, keeper: Keeper, launch: Launch) -> None:
        super().__init__(launch.name, launch, launch.config["timeout_s"], DEPTH)
        self._keeper = keeper

    def ready(self, link: Link, info: dict[str, Any]) -> None:
        super().ready(link, info)
        if self._loop is not None:
            self._on_loop(self._loop, self._keeper.tell_pid)


class _Said(logging.Handler):
    """The log of this process goes to a server's."""

    def __init__(self, keeper: Keeper, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))  # the server adds the rest
        self._keeper = keeper
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._keeper.say, f"log {record.levelno} {line}")


def main(listener: int, path: str) -> None:
    """`listener`: the file of a socket bound to `path`. How to start the host comes by standard input."""
    os.set_inheritable(listener, False)
    heed_no_signal()
    launch = Launch.from_json(json.loads(sys.stdin.buffer.read()))

    async def keep() -> None:
        keeper = Keeper(launch, socket.socket(fileno=listener), Path(path))
        logging.basicConfig(level=logging.INFO, handlers=[_Said(keeper, asyncio.get_running_loop())])
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        await keeper.run()

    asyncio.run(keep())
