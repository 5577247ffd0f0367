"""`gantline serve` in processes of its own, as an operator starts, watches and stops it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running

WAIT_S = 30.0
Programs = Callable[..., AbstractContextManager["Program"]]


@dataclass
class Program:
    """A running `gantline serve` and what it said when it was ready."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    log: Path

    @property
    def port(self) -> int:
        return int(self.ready["url"].rpartition(":")[2])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), WAIT_S)

    def signal(self, one: int = signal.SIGTERM) -> None:
        self.process.send_signal(one)

    def wait_for_log(self, text: str, times: int = 1) -> None:
        """Until the log has it so often: it is a file that grows."""
        end = time.monotonic() + WAIT_S
        while self.log.read_text().count(text) < times:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()

    def workers(self) -> dict[int, int]:
        """Worker number to process, of those that live now."""
        found: dict[int, int] = {}
        for child in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in child.read_text().split():
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"gantline.serve.process.worker" in words:
                    found[int(words[words.index(b"gantline.serve.process.worker") + 1])] = int(pid)
        return found

    def code(self) -> int:
        return self.process.wait(WAIT_S)


@pytest.fixture
def client(server: Running) -> type[Running]:
    """What makes and reads messages; its server is not used here."""
    return type(server)


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    """`with program(ref, "--flag") as run:`; leaving the block kills what still runs."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}

    @contextmanager
    def start(*words: object) -> Iterator[Program]:
        command = [sys.executable, "-m", "gantline", "serve", *map(str, words), "--http-port", "0", "--json"]
        log = tmp_path / "log"
        with log.open("w") as errors, subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=tmp_path
        ) as process:  # fmt: skip
            out: IO[str] | None = process.stdout
            assert out is not None
            try:
                line = out.readline()
                assert line.startswith("{"), line + log.read_text()
                yield Program(process, json.loads(line), log)
            finally:
                process.kill()

    return start
