"""Link: framed JSON between a supervisor and one of its workers, over a socketpair. Both ends use this."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, TypeAlias

import orjson

from gantline import errors
from gantline.errors import GantlineError, Unavailable

MAX_FRAME = 64 << 20  # bytes of one message
MAX_UNSENT = 128 << 20  # bytes that the other end has not taken yet
CLOSE_S = 1.0
_SIZE = 4  # bytes before each message: its length, big-endian

Message: TypeAlias = dict[str, Any]  # "kind", and what belongs to it


class Link:
    """One end. Messages arrive in the order in which they were sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Link:
        """Take over one end of a socketpair."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, kind: str, **fields: Any) -> None:
        """Send a message; to an end that is gone it is lost. Unavailable when it is too large, or nobody reads."""
        try:
            data = orjson.dumps({"kind": kind, **fields})
        except TypeError as e:
            raise GantlineError(f"message '{kind}' between server processes is not JSON: {e}") from e
        if len(data) > MAX_FRAME:
            raise Unavailable(f"message '{kind}' between server processes has {len(data)} bytes; {MAX_FRAME} are most")
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() + len(data) > MAX_UNSENT:
            raise Unavailable(f"message '{kind}' between server processes: the other end does not read")
        self._writer.write(len(data).to_bytes(_SIZE, "big") + data)

    async def receive(self) -> Message | None:
        """The next message; None when the other end is gone, or sends what is none."""
        try:
            size = int.from_bytes(await self._reader.readexactly(_SIZE), "big")
            if size > MAX_FRAME:
                return None
            found = orjson.loads(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    async def close(self) -> None:
        """Send what was not sent yet, if the other end takes it, and hang up."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), CLOSE_S)
        except TimeoutError:
            self._writer.transport.abort()
        except OSError:
            pass


def error_fields(error: Exception) -> Message:
    """An error as part of a message: its leaf's name, words and facts; the words of a surprise stay in the log."""
    if isinstance(error, GantlineError):
        facts = {k: v for k, v in vars(error).items() if k != "message" and isinstance(v, str | int | float)}
        return {"error": type(error).__name__, "message": error.message, "facts": facts}
    return {"error": "GantlineError", "message": "internal error; see the server's log"}


def error_of(message: Message) -> GantlineError | None:
    """The error that a message carries, as it was raised at the other end."""
    name = message.get("error")
    if name is None:
        return None
    leaf = getattr(errors, str(name), GantlineError)
    known = isinstance(leaf, type) and issubclass(leaf, GantlineError)
    error: GantlineError = (leaf if known else GantlineError)(message["message"])
    # a number that JSON does not have has become null
    vars(error).update({key: fact for key, fact in message.get("facts", {}).items() if fact is not None})
    return error
