"""Connections: kept HTTP/1.1 connections to registries, shared by workers; one call is one exchange on one of them."""

from __future__ import annotations

import http.client
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from .wiring import Endpoint, Wiring, connection, proxy_of, tls_context

_Piece = TypeVar("_Piece", bytes, memoryview)
PIECE = 1 << 18  # bytes between two looks at whether to stop
_DOCUMENT = 16 << 20  # the longest body that is read whole


class Cut(Exception):
    """No connection, or one that ended in the middle. `fresh`: it was never there; `reason` is for a person."""

    def __init__(self, reason: str, fresh: bool = False, trust: bool = False, plain: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fresh = fresh
        self.trust = trust  # a certificate, say, is the reason: trying again is no use
        self.plain = plain  # TLS was spoken to a server that does not


class Stopped(Exception):
    """The transfer was given up while this ran."""


class Body(Protocol):
    """What is sent. It can be opened several times."""

    @property
    def size(self) -> int: ...

    def pieces(self) -> Iterator[bytes | memoryview]: ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """A body in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def pieces(self) -> Iterator[bytes]:
        if self.data:
            yield self.data


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes of a file from `start` on, read while they are sent."""

    path: Path
    start: int
    size: int

    def pieces(self) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(PIECE, self.size) or 1))
        left = self.size
        with self.path.open("rb", buffering=0) as f:
            f.seek(self.start)
            while left:
                count = f.readinto(buffer[: min(left, len(buffer))])
                if not count:
                    raise Cut(f"{self.path} became shorter while it was sent", trust=True)
                left -= count
                yield buffer[:count]


class Response:
    """An answer whose body is still to be read; leaving a `with` closes the connection unless all of it was."""

    def __init__(self, owner: Connections, kept: _Kept, answer: http.client.HTTPResponse, method: str) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._owner = owner
        self._kept = kept
        self._answer = answer
        self.length = whole(answer.headers.get("Content-Length")) if method != "HEAD" else None
        self._done = False
        self._loaded: bytes | None = None

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def pieces(self) -> Iterator[memoryview]:
        """The body; each piece is valid until the next. Cut where it ends early, Stopped where that is wished."""
        buffer = memoryview(bytearray(PIECE))
        yield from self._pieces(lambda most: buffer[: self._answer.readinto(buffer)])

    def _pieces(self, read: Callable[[int], _Piece]) -> Iterator[_Piece]:
        seen = 0
        while True:
            if self._owner.stopped.is_set():
                raise Stopped
            try:
                piece = read(PIECE)
            except (OSError, http.client.HTTPException) as e:
                raise Cut(reason(e)) from e
            if not piece:
                break
            seen += len(piece)
            yield piece
        if self.length is not None and seen < self.length:
            raise Cut(f"the connection ended after {seen} of {self.length} bytes")
        self._done = True

    def load(self, most: int) -> None:
        """Read the body now, as far as `most` bytes: whoever reads it later cannot meet a cut."""
        self._loaded = self.read(most)

    def read(self, most: int = _DOCUMENT) -> bytes:
        """The body whole, as far as `most` bytes."""
        if self._loaded is not None:
            return self._loaded[:most]
        found = bytearray()
        end = time.monotonic() + self._owner.wiring.document_s
        for piece in self._pieces(self._answer.read1):
            found += piece
            if len(found) > most:
                return bytes(found[:most])
            if time.monotonic() > end:  # each byte comes in time, and the last one never
                raise Cut(f"it sends an answer of {len(found)} bytes so far, too slowly to wait for", trust=True)
        return bytes(found)

    def close(self) -> None:
        """Give the connection back, or close it if there is more to read than is worth it."""
        if not self._done and (self.length is None or self.length <= PIECE):
            with suppress(Cut, Stopped):
                self.read(PIECE)
        usable = self._done and not self._answer.will_close
        self._answer.close()  # which holds the socket where the connection is not kept
        self._owner.give_back(self._kept, usable)


@dataclass(eq=False, slots=True)
class _Kept:
    endpoint: Endpoint
    link: http.client.HTTPConnection
    used: bool = False
    sock: socket.socket | None = None  # http.client forgets its own where the answer is the last one


class Connections:
    """Connections by server: the last used is used next, and each is used by one call at a time."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._idle: dict[Endpoint, list[_Kept]] = {}
        self._busy: set[_Kept] = set()
        self._tls: dict[Endpoint, ssl.SSLContext] = {}

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None, again: bool = True
    ) -> Response:
        """Send a request and read the head of its answer. Cut if there is none, Stopped if that is wished.

        `again`: it does no harm to be sent twice, which happens if a kept connection turns out to be dead.
        """
        endpoint = Endpoint.of(url)
        while True:
            kept = self._take(endpoint)
            try:
                return self._on(kept, method, url, headers, body)
            except Cut as e:
                used = kept.used
                self.give_back(kept, False)
                if self.stopped.is_set():
                    raise Stopped from e
                if not (used and again):
                    raise
            except BaseException:
                self.give_back(kept, False)
                raise

    def _on(self, kept: _Kept, method: str, url: str, headers: Mapping[str, str], body: Body | None) -> Response:
        if self.stopped.is_set():
            raise Stopped
        if kept.link.sock is None:
            self._connect(kept)
            if self.stopped.is_set():  # before this, `stop` saw no socket to end
                raise Stopped
        said = dict(headers)
        if body is not None:
            said["Content-Length"] = str(body.size)
        link = kept.link
        try:
            link.putrequest(method, self._path(kept.endpoint, url, said), skip_accept_encoding=True)
            for name, value in said.items():
                link.putheader(name, value)
            link.endheaders()
            if body is not None:
                self._send(link, body)
            answer = link.getresponse()
        except (OSError, http.client.HTTPException) as e:
            raise Cut(reason(e)) from e
        return Response(self, kept, answer, method)

    def _send(self, link: http.client.HTTPConnection, body: Body) -> None:
        try:
            for piece in body.pieces():
                if self.stopped.is_set():
                    raise Stopped
                link.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            # a server may answer without reading all of it (413, say), and what it says is worth more than that
            link.sock.settimeout(2.0)

    def _path(self, endpoint: Endpoint, url: str, headers: dict[str, str]) -> str:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        proxy = proxy_of(endpoint) if endpoint.scheme == "http" else None
        if proxy is None:
            return path
        headers.update(proxy.headers)
        return f"http://{endpoint}{path}"

    def _connect(self, kept: _Kept) -> None:
        try:
            kept.link.connect()  # http.client sets TCP_NODELAY
        except ssl.SSLCertVerificationError as e:
            raise Cut(
                f"its certificate is not trusted ({e.verify_message}); name its issuer by --ca-file", True, trust=True
            ) from e
        except ssl.SSLError as e:
            plain = "WRONG_VERSION_NUMBER" in str(e) or "RECORD_LAYER_FAILURE" in str(e)
            why = (
                "it speaks plain HTTP; if that is meant, pass --plain-http" if plain else f"TLS failed: {e.reason or e}"
            )
            raise Cut(why, True, trust=True, plain=plain) from e
        except (OSError, http.client.HTTPException) as e:
            raise Cut(reason(e), True) from e
        kept.sock = kept.link.sock
        kept.sock.settimeout(self.wiring.silence_s)

    def _take(self, endpoint: Endpoint) -> _Kept:
        with self._lock:
            idle = self._idle.get(endpoint, [])
            while idle:
                kept = idle.pop()
                if _quiet(kept.link.sock):
                    self._busy.add(kept)
                    return kept
                kept.link.close()
        kept = _Kept(endpoint, connection(endpoint, self.wiring, self._context(endpoint)))
        with self._lock:
            self._busy.add(kept)
        return kept

    def _context(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        if endpoint.scheme != "https":
            return None
        with self._lock:
            if endpoint not in self._tls:
                self._tls[endpoint] = tls_context(endpoint, self.wiring)
            return self._tls[endpoint]

    def give_back(self, kept: _Kept, usable: bool) -> None:
        """After an exchange, once: to be used again, or closed."""
        with self._lock:
            if kept not in self._busy:
                return
            self._busy.discard(kept)
            if usable and not self.stopped.is_set() and kept.link.sock is not None:
                kept.used = True
                self._idle.setdefault(kept.endpoint, []).append(kept)
                return
        kept.link.close()

    def stop(self) -> None:
        """End everything that runs, soon, with Stopped."""
        self.stopped.set()
        with self._lock:
            busy = list(self._busy)
        for kept in busy:
            if kept.sock is not None:
                with suppress(OSError):
                    kept.sock.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle = [kept for found in self._idle.values() for kept in found]
            self._idle.clear()
        for kept in idle:
            kept.link.close()


def whole(text: str | None) -> int | None:
    """The whole number that a header has; None where it has none."""
    return int(text) if text is not None and re.fullmatch("[0-9]{1,18}", text.strip()) else None


def reason(error: BaseException) -> str:
    """Why a connection failed, for a person."""
    if isinstance(error, socket.gaierror):
        return "its name is not known here; check it, the network, or HTTPS_PROXY"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
        return "it closed the connection"
    if isinstance(error, http.client.HTTPException):
        return f"it does not speak HTTP ({type(error).__name__})"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _quiet(sock: socket.socket | None) -> bool:
    """Whether an idle connection is open: all that it can have to read is that the server has closed it."""
    if sock is None:
        return False
    try:
        return not select.select([sock], [], [], 0)[0]
    except (OSError, ValueError):
        return False
