"""Awaiting: until a server that was started is ready, or has ended, or its time is over."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from gantline.errors import DeadlineExceeded, Unavailable

_PAUSE_S = 0.03
_ANSWER_S = 2.0
_LINES = 3  # of a log, as the reason


def until(
    done: Callable[[], bool], wait_s: float, ended: Callable[[], bool], log: Callable[[], str], what: str
) -> None:
    """Wait for a sign; what has ended is not ready, whoever else answers in its place.

    Unavailable when it ended before, DeadlineExceeded, both with its log's last lines.
    """
    end = time.monotonic() + wait_s
    while True:
        fine = done()
        if ended():
            raise Unavailable(f"{what}: ended before it was ready: {reason(log())}")
        if fine:
            return
        if time.monotonic() > end:
            raise DeadlineExceeded(
                f"{what}: not ready within {wait_s:g} s; --wait-s gives it longer; its last words: {reason(log())}"
            )
        time.sleep(_PAUSE_S)


def announced(log: str) -> bool:
    """Whether a server has said that it serves, by what `gantline serve --json` prints."""
    for line in log.splitlines():
        if line.startswith('{"url"'):
            with suppress(ValueError):
                return bool(json.loads(line)["models"])
    return False


def ready(at: str) -> bool:
    """Whether the server of a URL says that it is."""
    parts = urlsplit(at)
    if not parts.hostname:
        return False  # it would be asked of whoever listens on this machine
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # the certificate is for the name that clients use: this asks whether it is ready, not who it is
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=_ANSWER_S, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reason(log: str) -> str:
    """Why a program ended, from its log: the last line that says error, else the last lines."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if ": error: " in line), "")
    if lines and lines[-1].startswith('{"error"'):  # of one that was told --json
        with suppress(ValueError):
            said = str(json.loads(lines[-1])["error"])
    return said or " | ".join(lines[-_LINES:]) or "its log is empty"


def url(host: str, port: int, tls: bool = False) -> str:
    """Where clients on this machine reach a server that listens there."""
    return f"{'https' if tls else 'http'}://{bracketed(reachable(host))}:{port}"


def place_in(at: str) -> str:
    """HOST:PORT of a URL, as gRPC's clients want it."""
    return at.partition("://")[2]


def reachable(host: str) -> str:
    """An address to connect to: what listens on all of them is on loopback, too."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def bracketed(host: str) -> str:
    """As it stands in a URL."""
    return f"[{host}]" if ":" in host else host
