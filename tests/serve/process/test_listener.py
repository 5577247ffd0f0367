"""The listener: an address that cannot be had is a mistake with a reason."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gantline.serve.process.listener import bind, turn_away

from gantline.errors import UsageError
from gantline.settings import ServeSettings


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
