"""Listener: the bound socket, which everything else may come and go behind."""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress

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


_SO_ATTACH_FILTER = 26  # of Linux's socket.h
# a classic BPF program, which sees each packet from its TCP header on: drop SYN without ACK, let all others pass
_NO_SYN = b"".join(
    struct.pack("HBBI", *one)
    for one in (
        (0x30, 0, 0, 13),  # load the byte of flags
        (0x54, 0, 0, 0x12),  # keep SYN and ACK
        (0x15, 0, 1, 0x02),  # SYN alone?
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # pass
    )
)


def turn_away(listener: socket.socket) -> None:
    """Begin no more connections, in all processes that share the listener; those that are begun can be accepted still.

    Closing a listener resets what waits in its backlog, and what comes between the last accept and the close. Where
    the system cannot do this (it is not Linux), that stays so.
    """
    program = ctypes.create_string_buffer(_NO_SYN, len(_NO_SYN))
    with suppress(OSError):
        filter_ = struct.pack("HP", len(_NO_SYN) // 8, ctypes.addressof(program))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
