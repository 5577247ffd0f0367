"""The listener: an address that cannot be had is a mistake with a reason."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gantline.serve.process.listener import bind

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
