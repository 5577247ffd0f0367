"""The slow road: a handler of Head and Responder as an ASGI endpoint, for any ASGI server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from gantline.errors import TooLarge

from ..exchange import Handler, Head, Headers
from ..statuses import BROKEN, told

_log = logging.getLogger("gantline.http")


class Endpoint:
    """An ASGI application that reads a whole body, bounded, and lets a handler answer it."""

    def __init__(self, handler: Handler, max_body: int) -> None:
        self.handler = handler
        self.max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        responder = AsgiResponder(send)
        try:
            body = await read_body(request, self.max_body)
        except TooLarge as e:
            headers, text = told(_path(scope), 413, e.message)
            await _send(send, 413, [*headers, (b"connection", b"close")], text)
            return
        except ClientDisconnect:
            return
        head = head_of(scope)
        watch = asyncio.ensure_future(_watch(receive, responder))
        try:
            try:
                self.handler(head, body, responder)
            except Exception:
                # handlers must not raise; one that does must not leave its client waiting for ever
                _log.exception("%s %s", scope["method"], scope["path"])
                if not responder.closed:
                    responder.send(500, *told(_path(scope), 500, BROKEN))
            await responder.deliver()
        finally:
            watch.cancel()


def head_of(scope: Scope) -> Head:
    """The head of an ASGI request: the gate's, where there is one, who knows whose key it came with."""
    found: Head | None = scope.get("gantline.head")
    return found or Head(
        scope["method"].encode(),
        _path(scope),
        scope["query_string"],
        list(scope["headers"]),
        scope.get("client"),
        scope["scheme"] == "https",
    )


def _path(scope: Scope) -> bytes:
    return scope.get("raw_path") or scope["path"].encode()  # type: ignore[no-any-return]  # a scope's values are Any


class AsgiResponder:
    """Takes an answer from synchronous code and sends it from the request's own task."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queue: asyncio.Queue[tuple[str, int, Headers, bytes]] = asyncio.Queue()
        self._sent = asyncio.Event()
        self._sent.set()
        self._callback: Callable[[], None] | None = None
        self.closed = False

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self._queue.put_nowait(("whole", status, headers, body))

    def start(self, status: int, headers: Headers) -> None:
        self._queue.put_nowait(("start", status, headers, b""))

    def chunk(self, data: bytes) -> None:
        self._sent.clear()
        self._queue.put_nowait(("chunk", 0, [], data))

    def end(self) -> None:
        self._queue.put_nowait(("end", 0, [], b""))

    def abort(self) -> None:
        self._queue.put_nowait(("abort", 0, [], b""))

    async def drain(self) -> None:
        await self._sent.wait()

    def on_close(self, callback: Callable[[], None]) -> None:
        if self.closed:
            callback()
        else:
            self._callback = callback

    def lost(self) -> None:
        """The client has left."""
        self.closed = True
        self._sent.set()
        self._queue.put_nowait(("lost", 0, [], b""))
        if self._callback is not None:
            self._callback()

    async def deliver(self) -> None:
        """Send what the handler answers until it is complete."""
        while True:
            kind, status, headers, data = await self._queue.get()
            if kind == "whole":
                await _send(self._send, status, headers, data)
                return
            if kind == "start":
                await self._send({"type": "http.response.start", "status": status, "headers": headers})
            elif kind == "chunk":
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
                if self._queue.empty():
                    self._sent.set()
            elif kind == "end":
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            elif kind == "abort":
                raise ConnectionAbortedError("the answer's stream failed")
            else:
                return


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. TooLarge beyond `limit` bytes, ClientDisconnect if the client leaves."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _watch(receive: Receive, responder: AsgiResponder) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    responder.lost()
