"""The h2 front: HTTP/1, HTTP/2 and gRPC on one port. Opt in: extra `[h2]`, because zttp is young (ARCHITECTURE.md).

HTTP/1 is the very front that `http1` is. HTTP/2 is agreed on in TLS (ALPN), or begun without asking (its preface).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from .h2_connection import Http2
from .h2_grpc import Rpc
from .hot import Front
from .http1 import Http1

__all__ = ["Fronts", "Rpc"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Fronts:
    """Makes the protocol of each new connection; called as uvicorn calls a protocol class."""

    alpn_protocols = ("h2", "http/1.1")  # uvicorn hands them to TLS

    def __init__(self, front: Front, rpc: Rpc) -> None:
        self.front = front
        self.rpc = rpc

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        if not config.is_ssl:
            return Sniffer(self, config, server_state, app_state, _loop)
        return Negotiated(self, config, server_state, app_state, _loop)

    def http1(self, *uvicorns: Any) -> Http1:
        return Http1(self.front, *uvicorns)

    def http2(self, *uvicorns: Any) -> Http2:
        return Http2(self.front, self.rpc, *uvicorns)


class Negotiated(asyncio.Protocol):
    """A connection whose protocol TLS has agreed on by the time that it is made."""

    def __init__(self, fronts: Fronts, *uvicorns: Any) -> None:
        self._fronts = fronts
        self._uvicorns = uvicorns

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        tls = transport.get_extra_info("ssl_object")
        make = self._fronts.http2 if tls.selected_alpn_protocol() == "h2" else self._fronts.http1
        protocol: Any = make(*self._uvicorns)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


class Sniffer(asyncio.Protocol):
    """A connection whose first bytes say what it speaks; until then, an HTTP/1 connection that has read nothing."""

    def __init__(self, fronts: Fronts, *uvicorns: Any) -> None:
        self._fronts = fronts
        self._uvicorns = uvicorns
        self._first = b""
        self.http1 = fronts.http1(*uvicorns)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.http1.connection_made(transport)
        if self.http1.deaf:  # one connection too many
            transport.set_protocol(self.http1)

    def data_received(self, data: bytes) -> None:
        http1 = self.http1
        transport = http1.transport
        first = self._first + data
        if len(first) < len(PREFACE) and PREFACE.startswith(first) and not http1.deaf:
            self._first = first
            if not http1.in_head:  # the time for a head runs
                http1.in_head = True
                http1.begun = http1.since = http1.loop.time()
            return
        if first.startswith(PREFACE) and not http1.deaf:
            http1.connections.discard(http1)
            http2 = self._fronts.http2(*self._uvicorns)
            transport.set_protocol(http2)
            http2.connection_made(transport)
            http2.data_received(first)
            return
        http1.in_head = False
        transport.set_protocol(http1)
        http1.data_received(first)

    # what HTTP/1 does before it has read anything

    def eof_received(self) -> bool | None:
        return self.http1.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.http1.connection_lost(exc)

    def pause_writing(self) -> None:
        self.http1.pause_writing()

    def resume_writing(self) -> None:
        self.http1.resume_writing()
