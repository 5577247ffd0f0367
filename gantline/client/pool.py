"""Pool: kept HTTP/1.1 connections to one server, for blocking code; standard library only."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time

from ..errors import Unreachable
from .address import Address
from .exchange import Answer, Call

_PIECE = 1 << 20  # bytes of a body read between two looks at the clock


class Pool:
    """At most `connections` at once; a call beyond that waits for its turn within its time-out.

    A call is sent twice only when it may be, on a kept connection that closed before one byte of an answer.
    """

    def __init__(self, address: Address, connections: int, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._turns = threading.BoundedSemaphore(connections)
        self._idle: list[http.client.HTTPConnection] = []  # the last used is used next
        self._lock = threading.Lock()
        self._closed = False

    def send(self, call: Call, headers: tuple[tuple[str, str], ...]) -> Answer:
        """The answer, whatever its status. Unreachable or DeadlineExceeded if there is none."""
        deadline = time.monotonic() + self._timeout_s
        if not self._turns.acquire(timeout=self._timeout_s):
            raise self._address.too_late(self._timeout_s)
        try:
            kept = self._kept()
            if kept is not None:
                try:
                    return self._exchange(kept, call, headers, deadline)
                except _Stale as e:
                    if not call.repeatable:
                        raise self._address.unreachable(e) from e
            return self._exchange(self._fresh(deadline), call, headers, deadline)
        except TimeoutError as e:
            raise self._address.too_late(self._timeout_s) from e
        except (OSError, http.client.HTTPException) as e:
            raise self._address.unreachable(e) from e
        finally:
            self._turns.release()

    def close(self) -> None:
        """Close what is idle, and from now on every connection after its call."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _kept(self) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                if self._closed:
                    raise Unreachable(f"this client of {self._address.url} is closed")
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if _quiet(connection.sock):
                return connection
            connection.close()  # the server has closed it: that is all an idle connection can have to read

    def _fresh(self, deadline: float) -> http.client.HTTPConnection:
        a = self._address
        connection = http.client.HTTPConnection(a.host, a.port, timeout=_left(deadline))
        if a.tls is not None:
            connection = http.client.HTTPSConnection(a.host, a.port, timeout=_left(deadline), context=a.tls)
        try:
            connection.connect()  # http.client sets TCP_NODELAY
        except BaseException:
            connection.close()
            raise
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, call: Call, headers: tuple[tuple[str, str], ...], deadline: float
    ) -> Answer:
        keep = False
        try:
            connection.sock.settimeout(_left(deadline))
            response, whole = _ask(connection, self._address.prefix, call, headers)
            pieces = []
            while piece := response.read(_PIECE):
                pieces.append(piece)
                if connection.sock is not None:
                    connection.sock.settimeout(_left(deadline))
            if response.length:  # http.client itself does not tell
                raise http.client.HTTPException(f"the answer is cut off, {response.length} bytes are missing")
            keep = whole and not response.will_close
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, b"".join(pieces))
        finally:
            self._give_back(connection, keep)

    def _give_back(self, connection: http.client.HTTPConnection, keep: bool) -> None:
        with self._lock:
            if keep and not self._closed:
                self._idle.append(connection)
                return
        connection.close()


class _Stale(ConnectionError):
    """A connection that closed before one byte of an answer."""


def _ask(
    connection: http.client.HTTPConnection, prefix: str, call: Call, headers: tuple[tuple[str, str], ...]
) -> tuple[http.client.HTTPResponse, bool]:
    """The answer's head, and whether the whole call was sent: a server may refuse a body before it has all of it."""
    connection.putrequest(call.method, prefix + call.path, skip_accept_encoding=True)
    for name, value in (*headers, *call.headers):
        connection.putheader(name, value)
    if call.method == "POST":
        connection.putheader("content-length", str(len(call.body)))
    whole = True
    try:
        connection.endheaders(call.body or None)
    except (BrokenPipeError, ConnectionResetError, ConnectionAbortedError):
        whole = False
    try:
        return connection.getresponse(), whole
    except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ConnectionAbortedError) as e:
        raise _Stale("the server closed the connection before it answered") from e


def _quiet(sock: socket.socket | None) -> bool:
    if sock is None:
        return False
    try:
        if hasattr(select, "poll"):  # select() cannot take descriptors from 1024 up
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            return not poll.poll(0)
        return not select.select([sock], [], [], 0)[0]
    except (OSError, ValueError):
        return False


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
