"""Listener: the bound socket, which everything else may come and go behind."""

from __future__ import annotations

import socket

from gantline.errors import UsageError
from gantline.settings import ServeSettings


def bind(settings: ServeSettings) -> socket.socket:
    """The HTTP listener. UsageError says why the address cannot be had."""
    host, port = settings.host, settings.http_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
        listener.listen(2048)
    except OSError as e:
        listener.close()
        raise UsageError(f"cannot listen on {host}:{port}: {e.strerror}; choose another --http-port or --host") from e
    listener.setblocking(False)
    return listener
