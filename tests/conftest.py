"""Fixtures for tests that need the real thing: `gantline serve` in a process of its own, on a free port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

# `with starting(ref, "--flag") as ready:` gives what --json printed; leaving it sends SIGTERM and expects exit code 0
Starting = Callable[..., AbstractContextManager[dict[str, Any]]]
# `with serving(ref, "--flag") as url:`; the same, by HTTP alone
Serving = Callable[..., AbstractContextManager[str]]


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
                assert process.wait(20) == 0, log.read_text()
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
