"""Concurrent: serving `async def run`: requests side by side on one event loop. Runs in the host."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from time import perf_counter_ns
from typing import Any

from . import channel as ch
from .answers import chunk_of, header_block
from .channel import WINDOW, Gone
from .host import Answerer, report
from .ring import Message
from .watch import OutOfTime


class Concurrent(Answerer):
    """A task for each request. The server bounds how many there are."""

    def serve(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._given_up: set[int] = set()  # those of them that were cancelled
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self._ring = False
        self._loop = loop
        loop.add_reader(self.channel.sock, self._readable)
        self._take()
        await self._gone.wait()
        raise Gone

    def _readable(self) -> None:
        try:
            self.channel.read_records()
            self.channel.told()
        except (Gone, OSError):
            self._loop.remove_reader(self.channel.sock)
            self._gone.set()
            return
        self.channel.awake()
        self._take()

    def _take(self) -> None:
        """Begin what has come, then listen for the bell."""
        channel = self.channel
        while True:
            message = channel.take()
            if message is not None:
                task = self._tasks[message.id] = self._loop.create_task(self._one(message))
                task.add_done_callback(partial(self._ended, message.id))
            elif channel.may_sleep():
                break
        for id in channel.cancelled & self._tasks.keys():
            channel.cancelled.discard(id)  # once: what it does to end is not to be interrupted
            self._given_up.add(id)
            self._tasks[id].cancel()
        self._news.set()
        self._news = asyncio.Event()

    def _ended(self, id: int, task: asyncio.Task[None]) -> None:
        del self._tasks[id]
        self._given_up.discard(id)
        if task.cancelled():  # before its first step, so that nothing of it could say so
            self.send(ch.REPLY, id, ch.CANCELLED)
            self._bell()

    async def _one(self, message: Message) -> None:
        id = message.id
        started = perf_counter_ns()
        try:
            arguments = self.script.arguments(message)
            started = perf_counter_ns()
            result = self.script.run(**arguments)
            if inspect.isasyncgen(result):
                await self._stream(id, result)
                return
            if inspect.isawaitable(result):
                result = await asyncio.wait_for(_future(result), self.timeout_s)
        except asyncio.CancelledError:
            self.own_process()
            self.send(ch.REPLY, id, ch.CANCELLED)
        except TimeoutError:
            self.failed(id, OutOfTime())
        except BaseException as e:
            self.own_process()
            self.failed(id, e)
        else:
            self.own_process()
            took = perf_counter_ns() - started
            if inspect.isgenerator(result):
                self.failed(id, TypeError("async def run() answered a plain generator; make it an async generator"))
            else:
                self.finish(id, result, took)
        finally:
            self.channel.cancelled.discard(id)
            self._bell()

    async def _stream(self, id: int, items: Any) -> None:
        self.channel.credit[id] = WINDOW
        begun = False
        try:
            while True:
                try:
                    item = await asyncio.wait_for(_future(anext(items)), self.timeout_s)
                except StopAsyncIteration:
                    break
                if id in self._given_up:  # before Python 3.12 wait_for swallows it when an item is ready just then
                    raise asyncio.CancelledError
                kind, data = chunk_of(item)
                if not begun:
                    begun = True
                    self.send(ch.START, id, ch.OWN_HEADERS, 200, meta=header_block([("Content-Type", kind)]))
                while self.channel.credit[id] <= 0:
                    self.channel.wake()
                    await self._news.wait()
                self.chunk(id, data)
            if not begun:
                self.send(ch.START, id, ch.OWN_HEADERS, 200, meta=header_block([("Content-Type", "text/plain")]))
            self.send(ch.END, id)
        except asyncio.CancelledError:
            if begun:
                self.send(ch.END, id, ch.CANCELLED)
                return
            raise
        except TimeoutError:
            self.send(ch.BROKEN, id, ch.TIMED_OUT) if begun else self.failed(id, OutOfTime())
        except BaseException as e:
            if not begun:
                raise
            report(e)
            self.send(ch.BROKEN, id, ch.RUN_FAILED)
        finally:
            self.channel.credit.pop(id, None)
            await _closed(items)

    def _bell(self) -> None:
        # answers that become ready in one turn of the loop share one bell
        if not self._ring:
            self._ring = True
            self._loop.call_soon(self._rang)

    def _rang(self) -> None:
        self._ring = False
        self.channel.wake()


async def _future(result: Any) -> Any:
    return await result


async def _closed(items: Any) -> None:
    try:
        await items.aclose()
    except Exception as e:
        report(e)
