"""Fixtures for tests that need the real thing: `gantline serve` in a process of its own, on a free port."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.debian_base import debian_base

# the same examples everywhere, and none is wrong for having taken long: as hypothesis itself has it where CI is set
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# a shell's background jobs, and those of nohup, ignore these; what tests start would, too, and is to be ended by them
for _number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

# `with starting(ref, "--flag") as ready:` gives what --json printed; leaving it sends SIGTERM and expects exit code 0
Starting = Callable[..., AbstractContextManager[dict[str, Any]]]
# `with serving(ref, "--flag") as url:`; the same, by HTTP alone
Serving = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Ports for servers that cannot choose their own: none twice, and none that the system gives to who asks for any.

    A port that was free a moment ago may else be a client's when the server comes to take it.
    """
    first = 32768
    with suppress(OSError):  # elsewhere than on Linux
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = iter(random.sample(range(10_000, max(first, 12_000)), 2_000))

    def take() -> int:
        for port in ports:
            with socket.socket() as s, suppress(OSError):
                s.bind(("127.0.0.1", port))
                return port
        raise AssertionError("no port is free")

    return take


@pytest.fixture(scope="session")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Starting:
    """Start a server for a block; its log is in the message when it does not start or does not end well."""
    folder = tmp_path_factory.mktemp("serving")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}

    @contextmanager
    def start(*words: str | Path) -> Iterator[dict[str, Any]]:
        command = [sys.executable, "-m", "gantline", "serve", "--http-port", "0", "--json", *map(str, words)]
        log = folder / f"{len(list(folder.iterdir()))}.log"
        with log.open("w") as errors, subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=folder
        ) as process:  # fmt: skip
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                assert line.startswith("{"), f"no server: {line}{log.read_text()}"
                yield json.loads(line)
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0, log.read_text()
            finally:
                process.kill()

    return start


@pytest.fixture(scope="session")
def serving(starting: Starting) -> Serving:
    """Start a server without gRPC for a block, and give its URL."""

    @contextmanager
    def serve(*words: str | Path) -> Iterator[str]:
        with starting("--no-grpc", *words) as ready:
            yield ready["url"]

    return serve


@pytest.fixture(scope="session")
def base_tar() -> Path:
    """A root file system of Debian 12 with Python 3.11, as one tar: the base of images that tests run (`container`)."""
    return debian_base()


@pytest.fixture(scope="session")
def rival() -> Callable[[str], Path]:
    """The interpreter of an environment of scripts/rivals.py, which makes it and holds it to its exact versions."""
    spec = importlib.util.spec_from_file_location("rivals", Path(__file__).parents[1] / "scripts" / "rivals.py")
    assert spec is not None and spec.loader is not None
    rivals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rivals)

    def interpreter(name: str) -> Path:
        try:
            found: Path = rivals.ensure(name)
        except (SystemExit, OSError, subprocess.SubprocessError) as e:
            pytest.skip(f"{name} cannot be installed here: {e}")
        return found

    return interpreter
