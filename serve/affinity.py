"""Affinity: a sequence's requests run in one worker, whichever of them accepted the connection.

The worker is found by the sequence's id alone, so nobody has to be asked. A request that came elsewhere goes to it
over a Unix socket, as a V2 request like any other, and its answer comes back the same way.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter_ns
from urllib.parse import quote
from zlib import crc32

from gantline.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    GantlineError,
    NotFound,
    Overloaded,
    TooLarge,
    Unavailable,
    Unsupported,
)
from gantline.request import Request, RequestedOutput
from gantline.tensors import Array
from gantline.wire.v2 import decode_reply, encode_request, parse_json

from .ticket import DONE, Ticket
from .wishes import PRIORITY, TENANT, TIMEOUT

MAX_FORWARDED = 4096  # requests that are with other workers
MAX_IDLE = 64  # connections to each that are kept
_MAX_HEAD = 64 << 10
# what the other worker needs to let the client in
_FORWARDED = (b"authorization", b"x-api-key", TENANT, PRIORITY)
_ERRORS: dict[int, type[GantlineError]] = {
    400: BadRequest, 404: NotFound, 413: TooLarge, 501: Unsupported, 503: Unavailable, 504: DeadlineExceeded,
}  # fmt: skip
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Affinity:
    """Which worker a sequence belongs to. Before `join`, and with one worker, all are this one's."""

    def __init__(self) -> None:
        self._folder = Path()
        self._number = self._workers = 1
        self._idle: dict[int, list[Connection]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, folder: Path, number: int, workers: int) -> Path:
        """Be one of several, numbered from 1, whose sockets lie in a folder; where this one's is to be."""
        self._folder, self._number, self._workers = folder, number, workers
        return self._path(number)

    def elsewhere(self, sequence: int | str) -> int:
        """The number of the worker that has the sequence, 0 for this one."""
        if self._workers == 1:
            return 0
        key = crc32(sequence.encode()) if isinstance(sequence, str) else sequence
        number = key % self._workers + 1
        return 0 if number == self._number else number

    def share(self, most: int) -> int:
        """This worker's part of a bound that is the server's. Each has one at least: ids say who a sequence goes to."""
        return max(most // self._workers + (self._number <= most % self._workers), 1)

    def forward(self, ticket: Ticket, number: int) -> None:
        """Have a request run by another worker; it is delivered as if it had run here. Unavailable beyond a bound."""
        if len(self._tasks) >= MAX_FORWARDED:
            raise Unavailable(f"model '{ticket.request.model}': {MAX_FORWARDED} requests are with other workers")
        ticket.counted = False
        task = asyncio.ensure_future(self._ask(ticket, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for connections in self._idle.values():
            for _, writer in connections:
                writer.close()
        self._idle.clear()

    async def _ask(self, ticket: Ticket, number: int) -> None:
        outputs: list[Array] | None = None
        error: GantlineError | None = None
        try:
            outputs = await self._exchange(ticket, number)
        except GantlineError as e:
            error = e.with_traceback(None)
        except (OSError, EOFError, asyncio.LimitOverrunError):
            error = Unavailable(f"model '{ticket.request.model}': the worker that has the sequence cannot be reached")
        deliver, ticket.deliver, ticket.state = ticket.deliver, None, DONE
        if deliver is not None:
            deliver(ticket, outputs, error)

    async def _exchange(self, ticket: Ticket, number: int) -> list[Array]:
        connection = self._take(number) or await asyncio.open_unix_connection(self._path(number), limit=_MAX_HEAD)
        reader, writer = connection
        try:
            writer.write(_message(ticket))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            status, headers = _parse(head)
            body = await reader.readexactly(int(headers[b"content-length"]))
        except BaseException:
            writer.close()
            raise
        if headers.get(b"connection") == b"close" or len(self._idle.setdefault(number, [])) >= MAX_IDLE:
            writer.close()
        else:
            self._idle[number].append(connection)
        if status != 200:
            raise _error(status, headers, str(parse_json(body)["error"]))
        length = headers.get(b"inference-header-content-length")
        found = dict(decode_reply(body, int(length) if length else None).outputs)
        return [found[name] for name in ticket.outputs]

    def _take(self, number: int) -> Connection | None:
        connections = self._idle.get(number, [])
        while connections:
            reader, writer = connections.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        return None

    def _path(self, number: int) -> Path:
        return self._folder / f"worker-{number}"


def _message(ticket: Ticket) -> bytes:
    """The request as HTTP, to the very version that it was checked against."""
    request = ticket.request
    asked = [RequestedOutput(name, binary=True) for name in ticket.outputs]
    body, length = encode_request(Request(request.inputs, parameters=request.parameters, outputs=asked))
    lines = [
        b"POST /v2/models/%s/versions/%s/infer HTTP/1.1"
        % (quote(request.model, safe="").encode(), request.version.encode()),
        b"host: worker",
        b"content-length: %d" % len(body),
    ]
    if length is not None:
        lines.append(b"inference-header-content-length: %d" % length)
    if request.deadline:
        lines.append(TIMEOUT + b": %f" % max((request.deadline - perf_counter_ns()) / 1e6, 0.001))
    lines += [b"%s: %s" % pair for pair in ticket.head.headers if pair[0] in _FORWARDED]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _error(status: int, headers: dict[bytes, bytes], message: str) -> GantlineError:
    retry = headers.get(b"retry-after")
    if retry is not None and retry.isdigit():
        return Overloaded(message, "share" if status == 429 else "queue_full", float(retry))
    return _ERRORS.get(status, EngineFailed)(message)


def _parse(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    line, *rest = head[:-4].split(b"\r\n")
    pairs = (one.partition(b":") for one in rest)
    return int(line.split(b" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}
