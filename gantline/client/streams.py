"""Streams: HTTP/1.1 over asyncio, as much of it as a client of one server needs; standard library only."""

from __future__ import annotations

import asyncio
import contextlib

from ..errors import Unreachable
from .address import Address
from .exchange import Answer, Call

_HEAD_LIMIT = 64 << 10  # bytes of an answer's head, or of one chunk's size line
_STALE = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError)


class Stale(ConnectionError):
    """A connection that closed before one byte of an answer."""


class Streams:
    """Kept connections to one server, at most `connections` at once; a call beyond that waits for its turn.

    A call is sent twice only when it may be, on a kept connection that closed before one byte of an answer.
    """

    def __init__(self, address: Address, connections: int, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._closed = False

    async def send(self, call: Call, headers: tuple[tuple[str, str], ...]) -> Answer:
        """The answer, whatever its status. Unreachable or DeadlineExceeded if there is none."""
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                return await self._send(call, headers)
        except TimeoutError as e:
            raise self._address.too_late(self._timeout_s) from e
        except (OSError, EOFError, ValueError) as e:
            raise self._address.unreachable(e) from e

    async def close(self) -> None:
        """Close what is idle, and from now on every connection after its call."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    async def _send(self, call: Call, headers: tuple[tuple[str, str], ...]) -> Answer:
        if self._closed:
            raise Unreachable(f"this client of {self._address.url} is closed")
        while self._idle:
            kept = self._idle.pop()
            if kept.stale:
                kept.abort()
                continue
            try:
                return await self._exchange(kept, call, headers)
            except Stale:
                if not call.repeatable:
                    raise
                break
        a = self._address
        name = a.host if a.tls is not None else None
        pair = await asyncio.open_connection(a.host, a.port, ssl=a.tls, server_hostname=name, limit=_HEAD_LIMIT)
        return await self._exchange(Connection(*pair), call, headers)

    async def _exchange(self, connection: Connection, call: Call, headers: tuple[tuple[str, str], ...]) -> Answer:
        keep = False
        try:
            answer, keep = await connection.exchange(self._head(call, headers), call)
            return answer
        finally:  # a cancelled call leaves an answer behind that nobody may read: such a connection is not kept
            if keep and not self._closed:
                self._idle.append(connection)
            else:
                connection.abort()

    def _head(self, call: Call, headers: tuple[tuple[str, str], ...]) -> bytes:
        lines = [f"{call.method} {self._address.prefix}{call.path} HTTP/1.1", f"host: {self._address.host_header}"]
        lines += [f"{name}: {value}" for name, value in (*headers, *call.headers)]
        if call.method == "POST":
            lines.append(f"content-length: {len(call.body)}")
        return "\r\n".join([*lines, "\r\n"]).encode("ascii")


class Connection:
    """One connection, used by one call at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def stale(self) -> bool:
        """Whether the server has closed it while it was idle."""
        return self._reader.at_eof() or self._writer.is_closing() or self._reader.exception() is not None

    async def exchange(self, head: bytes, call: Call) -> tuple[Answer, bool]:
        """The answer, and whether the connection can be used again. ValueError for what is not HTTP."""
        whole = True
        try:
            self._writer.write(head)
            if call.body:
                self._writer.write(call.body)
            await self._writer.drain()
        except _STALE:
            whole = False  # the server may refuse a body before it has all of it: its answer counts
        status, headers, old = await self._read_head()
        while 100 <= status < 200:
            status, headers, old = await self._read_head()
        keep = whole and not old and headers.get("connection", "").lower() != "close"
        if status in (204, 304):
            return Answer(status, headers), keep
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return Answer(status, headers, await self._chunks()), keep
        if "content-length" in headers:
            return Answer(status, headers, await self._exactly(int(headers["content-length"]))), keep
        return Answer(status, headers, await self._reader.read()), False

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):  # closed from the other side
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Close without waiting."""
        self._writer.transport.abort()

    async def _read_head(self) -> tuple[int, dict[str, str], bool]:
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as e:
            if e.partial:
                raise ConnectionError("the answer is cut off in its head") from e
            raise Stale("the server closed the connection before it answered") from e
        except asyncio.LimitOverrunError as e:
            raise ValueError(f"the answer's head is larger than {_HEAD_LIMIT} bytes") from e
        except _STALE as e:
            raise Stale("the server closed the connection before it answered") from e
        first, *lines = raw.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ValueError(f"the answer is not HTTP: {first[:60]!r}")
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                headers[name.strip().lower()] = value.strip()
        return int(rest[:3]), headers, version == "HTTP/1.0"

    async def _chunks(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            line = await self._reader.readuntil(b"\n")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while (await self._reader.readuntil(b"\n")).strip():
                    pass  # trailers
                return b"".join(pieces)
            pieces.append(await self._exactly(size))
            await self._reader.readexactly(2)

    async def _exactly(self, size: int) -> bytes:
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as e:
            missing = size - len(e.partial)
            raise ConnectionError(f"the answer is cut off, {missing} bytes are missing") from e
