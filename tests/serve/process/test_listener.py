"""The listener: an address that cannot be had is a mistake with a reason."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gantline.serve.process.listener import bind, own_listeners, port_of, reserve, take_over, turn_away

from gantline.errors import UsageError
from gantline.settings import ServeSettings, resolve


def test_a_listener_that_cannot_be_had(zoo: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .* choose another --http-port"):
            bind(ServeSettings(http_port=port))
        command = [sys.executable, "-m", "gantline", "serve", str(zoo), "--http-port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("gantline serve: error: cannot listen on")
    with pytest.raises(UsageError, match="cannot listen on"):
        bind(ServeSettings(host="no.such.host.invalid", no_auth=True))


def test_ipv6() -> None:
    try:
        listener = bind(ServeSettings(host="::1", http_port=0))
    except UsageError:
        pytest.skip("no IPv6 here")
    with listener:
        assert listener.getsockname()[0] == "::1"


@pytest.mark.skipif(sys.platform != "linux", reason="a filter on a listener is Linux's")
def test_whoever_has_connected_is_accepted_and_nobody_else_connects() -> None:
    with bind(ServeSettings(http_port=0)) as listener:
        address = listener.getsockname()
        inside = [socket.create_connection(address, 20) for _ in range(20)]
        for s in inside:
            s.sendall(b"before")
        turn_away(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, 0.2)
        for s in inside:
            s.sendall(b" and after")  # data is no new connection
        accepted = [listener.accept()[0] for _ in inside]
        with pytest.raises(BlockingIOError):
            listener.accept()
    for s in accepted:
        with s:
            s.settimeout(20)
            assert s.recv(16, socket.MSG_WAITALL) == b"before and after"
    for s in inside:
        s.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 20)


def reserved(**flags: str) -> socket.socket | None:
    return reserve(resolve(ServeSettings, flags, {}))


def test_a_grpc_port_is_held_but_does_not_listen() -> None:
    holder = reserved(grpc_port="0")
    assert holder is not None
    with holder:
        port = port_of(holder)
        assert port > 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 20)
        with socket.socket() as sharer:  # another process of ours
            sharer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sharer.bind(("127.0.0.1", port))
            sharer.listen()
            socket.create_connection(("127.0.0.1", port), 20).close()
            says = rf"cannot serve gRPC on 127\.0\.0\.1:{port}: .*--grpc-port \(0: any free one\), or --no-grpc"
            with pytest.raises(UsageError, match=says):
                reserved(grpc_port=str(port))


def test_which_grpc_port() -> None:
    """Whoever asks for any HTTP port does not want a fixed one for gRPC, unless they say so."""
    assert reserved(no_grpc="true") is None and port_of(None) == 0
    holder = reserved(http_port="0")
    assert holder is not None
    with holder:
        assert port_of(holder) != ServeSettings().grpc_port
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        free = port_of(s)
    holder = reserved(http_port="0", grpc_port=str(free))
    assert holder is not None
    with holder:
        assert port_of(holder) == free


@pytest.mark.skipif(sys.platform != "linux", reason="looks at files by /proc")
def test_whose_listeners_are_found() -> None:
    with bind(ServeSettings(http_port=0)) as listener, bind(ServeSettings(http_port=0)) as other:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), own_listeners(port) as found:
            assert [f.getsockname() for f in found] == [listener.getsockname()]
            assert found[0].fileno() != listener.fileno()
        assert listener.fileno() >= 0 and other.getsockname()[1] != port
        with own_listeners(1) as found:
            assert found == []


@pytest.mark.skipif(sys.platform != "linux", reason="which of several listeners it is, is said in Linux's way")
def test_a_successor_takes_a_port_over() -> None:
    with bind(ServeSettings(http_port=0, share_ports="offer")) as old:
        port = port_of(old)
        with pytest.raises(UsageError, match="cannot listen on"):
            bind(ServeSettings(http_port=port, share_ports="offer"))
        with bind(ServeSettings(http_port=port, share_ports="join")) as new:

            def accepted_by(one: socket.socket, count: int) -> None:
                one.settimeout(20)
                clients = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(count)]
                for client in clients:
                    one.accept()[0].close()
                    client.close()

            accepted_by(old, 20)  # the other does not listen yet
            new.listen(64)
            take_over(new)
            accepted_by(new, 20)
            old.close()
            accepted_by(new, 20)
            with bind(ServeSettings(http_port=port, share_ports="join")) as third:
                third.listen(64)
                take_over(third)
                accepted_by(third, 20)
