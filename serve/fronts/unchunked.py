"""Unchunked: an application for a client of HTTP/1.0, which knows no chunks.

An answer whose length is not told at its start ends with its connection (RFC 9112, section 6.1: no Transfer-Encoding
to a client of less than 1.1).
"""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def unchunked(cycle: Any, app: ASGIApp) -> ASGIApp:
    """The same application; `cycle`: uvicorn's, which would announce chunks."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        endless = False

        async def send_plainly(message: Message) -> None:
            nonlocal endless
            if message["type"] == "http.response.start":
                endless = not any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                if endless:
                    cycle.chunked_encoding = False
            elif endless:
                cycle.expected_content_length = len(message.get("body", b""))  # what it counts down
            await send(message)

        await app(scope, receive, send_plainly)

    return run
