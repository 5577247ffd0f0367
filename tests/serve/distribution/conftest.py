"""The registry's server in a process of its own, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gantline.oci.store import Store


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of the first error."""
        return str(json.loads(self.body)["errors"][0]["code"])


@dataclass
class Server:
    """A running one, and its store on this machine's disk."""

    host: str
    store: Store
    url: str
    process: int

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def distribute(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """`with distribute("--keys", file) as server:`; leaving it sends SIGTERM and expects exit code 0."""

    @contextmanager
    def serve(*words: str | Path, folder: Path | None = None) -> Iterator[Server]:
        place = folder or tmp_path_factory.mktemp("registry")
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "gantline",
            "registry",
            "serve",
            "--registry",
            place,
            "--port",
            "0",
            "--json",
        ]
        own = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
        with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True, env=own) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line.startswith("{"), line
                told = json.loads(line)
                yield Server(told["url"].partition("://")[2], Store(Path(told["store"])), told["url"], process.pid)
                process.send_signal(signal.SIGTERM)
                assert process.wait(40) == 0
            finally:
                process.kill()

    return serve


@pytest.fixture(scope="session")
def server(distribute: Serve) -> Iterator[Server]:
    with distribute() as running:
        yield running
