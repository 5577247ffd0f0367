"""Yielding: serving a script whose infer(inputs) gives many answers: a generator, or an async one. Runs in the host.

Several requests are under way at once. Plain generators take turns: each is resumed for one answer, as long as its
client has taken enough of the earlier ones, so that a slow client holds up nobody else. Async ones have a task each.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from . import arrays
from . import channel as ch
from .channel import WINDOW, Channel, cost
from .concurrent import Concurrent
from .contract import Refused, Script
from .host import Answerer, report
from .promise import Promise
from .ring import Message
from .watch import NobodyWaits, OutOfTime

_DONE = object()


class _Stream:
    """One request under way. `waits_since`: when its client had to be waited for; 0: it need not."""

    __slots__ = ("id", "items", "waits_since")

    def __init__(self, id: int, items: Any) -> None:
        self.id = id
        self.items = items
        self.waits_since = 0.0


class Yielding(Answerer):
    """Plain generators, one step of each in turn."""

    def __init__(self, script: Script, channel: Channel, timeout_s: float, promise: Promise) -> None:
        super().__init__(script, channel, timeout_s)
        self._promise = promise
        self._streams: dict[int, _Stream] = {}

    def serve(self) -> None:
        channel = self.channel
        while True:
            while len(self._streams) < self.script.max_streams and (message := channel.take()) is not None:
                self.answer(message)
            channel.told()
            went = False
            for stream in list(self._streams.values()):
                went = self._step(stream) or went
            channel.wake()
            if not went:
                self._sleep()

    def answer(self, message: Message) -> None:
        """Begin with a request: its generator is made, and nothing of it runs."""
        id, channel = message.id, self.channel
        channel.told()
        if id in channel.cancelled:
            channel.cancelled.discard(id)
            self.send(ch.REPLY, id, ch.CANCELLED)
            return
        try:
            items = self.script.run(arrays.unpack(message.meta, message.body))
        except BaseException as e:
            self.own_process()
            self.failed(id, e)
            return
        channel.credit[id] = WINDOW
        self._streams[id] = _Stream(id, items)

    def _step(self, stream: _Stream) -> bool:
        """Resume a generator for one answer, if its client lets it; whether anything was done."""
        id, channel = stream.id, self.channel
        if id in channel.cancelled:
            self._end(stream, ch.END, ch.CANCELLED)
            return True
        if channel.credit[id] <= 0:
            now = monotonic()
            stream.waits_since = stream.waits_since or now
            if now - stream.waits_since <= self.timeout_s:
                return False
            self._end(stream, ch.BROKEN, ch.TIMED_OUT)
            return True
        stream.waits_since = 0.0
        self.current = (id,)
        try:
            with self.alarm:
                item = next(stream.items, _DONE)
            self.own_process()
            if item is _DONE:
                self._end(stream, ch.END)
            else:
                self.answered(id, item)
        except OutOfTime as e:
            report(e)
            self._end(stream, ch.BROKEN, ch.TIMED_OUT | ch.RUN_FAILED)
        except NobodyWaits:
            self._end(stream, ch.END, ch.CANCELLED)
        except Refused as e:
            report(e)
            self._end(stream, ch.BROKEN, status=e.status, body=e.message.encode())
        except BaseException as e:
            self.own_process()
            report(e)
            self._end(stream, ch.BROKEN, ch.RUN_FAILED)
        return True

    def answered(self, id: int, item: Any) -> None:
        """Send one answer. Refused for what is none."""
        meta, body = self._promise.pack(item)
        self.send(ch.CHUNK, id, meta=meta, body=body)
        self.channel.credit[id] -= cost(len(body))
        self.channel.wake()  # at once: the next step may take its time

    def _end(self, stream: _Stream, kind: int, flags: int = 0, status: int = 0, body: bytes = b"") -> None:
        """The final message of a stream; its generator is closed, which runs its `finally`."""
        del self._streams[stream.id]
        self.current = ()  # its `finally` is not stopped
        self.channel.credit.pop(stream.id, None)
        self.channel.cancelled.discard(stream.id)
        try:
            with self.alarm:
                stream.items.close()
        except BaseException as e:
            self.own_process()
            report(e)
        self.own_process()
        self.send(kind, stream.id, flags, status, body=body)

    def _sleep(self) -> None:
        """Until there is a request to begin with, or a client has taken something, or one has waited too long."""
        channel = self.channel
        full = len(self._streams) >= self.script.max_streams
        if not full and not channel.may_sleep():
            return
        since = min((s.waits_since for s in self._streams.values()), default=0.0)
        channel.sock.settimeout(max(self.timeout_s - (monotonic() - since), 0.01) if since else None)
        try:
            channel.read_records()
        except TimeoutError:
            pass
        finally:
            channel.sock.settimeout(None)
        if not full:
            channel.awake()


class AsyncYielding(Concurrent):
    """Async generators, a task for each."""

    def __init__(self, script: Script, channel: Channel, timeout_s: float, promise: Promise) -> None:
        super().__init__(script, channel, timeout_s)
        self._promise = promise
        self._room = asyncio.Semaphore(script.max_streams)

    async def _one(self, message: Message) -> None:
        id = message.id
        kind, flags, status, body = ch.END, 0, 0, b""
        try:
            async with self._room:
                await self._stream(id, self.script.run(arrays.unpack(message.meta, message.body)))
        except asyncio.CancelledError:
            flags = ch.CANCELLED
        except OutOfTime as e:
            report(e)
            kind, flags = ch.BROKEN, ch.TIMED_OUT | ch.RUN_FAILED
        except Refused as e:
            report(e)
            kind, status, body = ch.BROKEN, e.status, e.message.encode()
        except BaseException as e:
            report(e)
            kind, flags = ch.BROKEN, ch.RUN_FAILED
        self.own_process()
        self.channel.cancelled.discard(id)
        self.send(kind, id, flags, status, body=body)
        self._bell()

    async def _stream(self, id: int, items: Any) -> None:
        self.channel.credit[id] = WINDOW
        try:
            while True:
                await self._within(self._allowed(id))
                item = await self._within(anext(items, _DONE))
                if item is _DONE:
                    return
                meta, body = self._promise.pack(item)
                self.send(ch.CHUNK, id, meta=meta, body=body)
                self.channel.credit[id] -= cost(len(body))
                self._bell()
        finally:
            self.channel.credit.pop(id, None)
            self.channel.cancelled.discard(id)  # heard: closing is not to be interrupted once more
            await self._within(items.aclose())

    async def _allowed(self, id: int) -> None:
        while self.channel.credit[id] <= 0:
            await self._news.wait()

    async def _within(self, awaitable: Any) -> Any:
        """Wait no longer than a call may take: OutOfTime."""
        try:
            async with asyncio.timeout(self.timeout_s) as limit:
                return await awaitable
        except TimeoutError:
            if limit.expired():
                raise OutOfTime from None
            raise
