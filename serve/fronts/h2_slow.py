"""The slow road on HTTP/2: a request as a call of an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..exchange import Head, Headers
from .h2_stream import Plain

if TYPE_CHECKING:
    from .h2_connection import Http2


class Slow(Plain):
    """Runs the application in a task of its own."""

    __slots__ = ("_came", "_start", "_status", "_told")

    def __init__(self, connection: Http2, id: int, head: Head) -> None:
        super().__init__(connection, id, head, None)
        self._came = asyncio.Event()  # something of the request, or its client's departure
        self._told = False  # that the request is whole
        self._status = 0
        self._start: Headers = []  # the headers of an answer whose first piece has not come

    def begin(self, declared: int) -> None:
        super().begin(declared)
        if not self.answered:
            connection = self.connection
            task = connection.loop.create_task(self._run())
            connection.server_state.tasks.add(task)
            task.add_done_callback(connection.server_state.tasks.discard)

    def take(self, data: bytes) -> None:
        super().take(data)
        self._came.set()

    def complete(self) -> None:
        self._came.set()

    def lost(self) -> None:
        super().lost()
        self._came.set()

    async def _run(self) -> None:
        connection, head = self.connection, self.head
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "server": connection.server,
            "client": head.client,
            "scheme": "https" if head.secure else "http",
            "method": head.method.decode("latin-1"),
            "root_path": "",
            "path": unquote(head.path.decode("latin-1")),
            "raw_path": head.path,
            "query_string": head.query,
            "headers": head.headers,
            "state": connection.app_state.copy(),
        }
        try:
            await connection.config.loaded_app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception:
            self.broken()
            return
        if not self.answered and not self.closed:
            self.abort() if self.response_started else self.refuse(500, "internal error: no answer was made")

    async def _receive(self) -> dict[str, Any]:
        while not (self.parts or self.closed or self.answered or (self.whole and not self._told)):
            self._came.clear()
            await self._came.wait()
        if self.closed or self.answered or self._told:
            return {"type": "http.disconnect"}
        body, self.parts = b"".join(self.parts), []
        self.connection.keeps(self, 0)
        self._told = self.whole
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._start = [(name.lower(), value) for name, value in message.get("headers", ())]
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if not self.response_started:
            if not more:
                self.send(self._status, self._start, body)
                return
            self.start(self._status, self._start)
        if self.head.method != b"HEAD":
            self.chunk(body)
        if more:
            await self.drain()
        else:
            self.end()

    def conclude(self, trailers: Headers | None = None) -> None:
        super().conclude(trailers)
        self._came.set()  # an application may wait for the client to leave, to stop what it started
