"""Listener: the bound socket, which everything else may come and go behind."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gantline.errors import UsageError
from gantline.settings import Resolved, ServeSettings


def bind(settings: ServeSettings) -> socket.socket:
    """The HTTP listener. UsageError says why the address cannot be had.

    One that joins others on its port does not listen yet: the kernel would give it its share of the clients.
    """
    host, port = settings.host, settings.http_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.share_ports != "no":
            if settings.share_ports == "offer" and port:
                _check_free(family, host, port)
            listener.setsockopt(socket.SOL_SOCKET, _shareable(), 1)
        listener.bind((host.strip("[]"), port))
        if settings.share_ports != "join":
            listener.listen(2048)
    except OSError as e:
        listener.close()
        raise UsageError(f"cannot listen on {host}:{port}: {e.strerror}; choose another --http-port or --host") from e
    listener.setblocking(False)
    return listener


def reserve(resolved: Resolved[ServeSettings]) -> socket.socket | None:
    """A socket that holds the gRPC port, and does not listen; None without such a port. UsageError if it cannot be had.

    grpcio takes no listener, only a port: each process opens it anew (SO_REUSEPORT), and this keeps it meanwhile.
    """
    settings = resolved.settings
    if settings.no_grpc or settings.front == "h2":
        return None
    host, port = settings.host, settings.grpc_port
    if settings.http_port == 0 and resolved.origins.get("grpc_port") == "default":
        port = 0
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        if port and settings.share_ports != "join":
            _check_free(family, host, port)
        holder.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT", socket.SO_REUSEADDR), 1)
        holder.bind((host.strip("[]"), port))
    except OSError as e:
        holder.close()
        raise UsageError(
            f"cannot serve gRPC on {host}:{port}: {e.strerror}; gRPC has a port beside HTTP's: choose "
            "another --grpc-port (0: any free one), or --no-grpc"
        ) from e
    return holder


def _check_free(family: socket.AddressFamily, host: str, port: int) -> None:
    """Or we would share it with whoever has it. OSError where somebody does."""
    with socket.socket(family, socket.SOCK_STREAM) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind((host.strip("[]"), port))


def _shareable() -> int:
    """The option of a socket whose port others of the same user may have, too. UsageError where there is none."""
    option: int | None = getattr(socket, "SO_REUSEPORT", None)
    if option is None:
        raise UsageError("share_ports: this system does not let two servers have one port")
    return option


def port_of(holder: socket.socket | None) -> int:
    """The port that a socket holds; 0 for none."""
    return int(holder.getsockname()[1]) if holder is not None else 0


_SO_ATTACH_FILTER, _SO_ATTACH_REUSEPORT_CBPF = 26, 51  # of Linux's socket.h
# of the listeners on one port the second; where there is one alone, it is that one
_SECOND = struct.pack("HBBI", 0x06, 0, 0, 1)
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


def take_over(listener: socket.socket) -> None:
    """New clients on a shared port come to the listener that joined; whoever had it keeps those that it has.

    Else some would be on the way to that one when it closes. Where the system cannot do this, that stays so.
    """
    with suppress(OSError):
        _attach(listener, _SO_ATTACH_REUSEPORT_CBPF, _SECOND)


def _attach(listener: socket.socket, option: int, code: bytes) -> None:
    program = ctypes.create_string_buffer(code, len(code))
    listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("HP", len(code) // 8, ctypes.addressof(program)))


def turn_away(listener: socket.socket) -> None:
    """Begin no more connections, in all processes that share the listener; those that are begun can be accepted still.

    Closing a listener resets what waits in its backlog, and what comes between the last accept and the close. Where
    the system cannot do this (it is not Linux), that stays so.
    """
    with suppress(OSError):
        _attach(listener, _SO_ATTACH_FILTER, _NO_SYN)


@contextmanager
def own_listeners(port: int) -> Iterator[list[socket.socket]]:
    """What this process listens with on a port, where a library keeps its sockets to itself. Linux."""
    found: list[socket.socket] = []
    try:
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError, ValueError):  # no socket, or gone
                if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    continue
                if int(name) in (f.fileno() for f in found):
                    continue  # a copy of ours, which took the number of what was listed
                one = socket.socket(fileno=os.dup(int(name)))
                found.append(one)
                listens = one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1] == port
                if not listens or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.pop().close()
        yield found
    finally:
        for one in found:
            one.close()
