"""`gantline serve` in processes of its own, as an operator starts, watches and stops it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running

WAIT_S = 60.0
LOOK_S = 0.01  # between two looks at another process, which needs the processor that looking takes
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
            time.sleep(LOOK_S)

    def workers(self) -> dict[int, int]:
        """Worker number to process, of those that live now."""
        found: dict[int, int] = {}
        for pid in self._children():
            words: list[bytes] = []
            with suppress(OSError):  # it has ended meanwhile
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"gantline.serve.process.worker" in words:
                found[int(words[words.index(b"gantline.serve.process.worker") + 1])] = pid
        return found

    def _children(self) -> list[int]:
        found: list[int] = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(OSError):  # a thread that has ended meanwhile
                found += map(int, (task / "children").read_text().split())
        return found

    def code(self) -> int:
        return self.process.wait(WAIT_S)

    def owners(self) -> dict[int, int]:
        """A client's port to the number of the worker that has accepted its connection."""
        ports: dict[str, int] = {}  # by the server side's inode
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if int(words[1].partition(":")[2], 16) == self.port:
                ports[f"socket:[{words[9]}]"] = int(words[2].partition(":")[2], 16)
        found: dict[int, int] = {}
        for number, pid in self.workers().items():
            with suppress(OSError):  # it has ended meanwhile
                for file in Path(f"/proc/{pid}/fd").iterdir():
                    with suppress(OSError):  # closed meanwhile
                        if port := ports.get(os.readlink(file)):
                            found[port] = number
        return found


class Load:
    """Clients that ask on and on, each on a connection of its own, and what became of every request.

    Lost is a request on a connection that was made, without its whole answer. A client connects again when told to
    (or when its connection broke), and leaves when nobody listens any more.
    """

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        """One client for each of `requests`, which it repeats."""
        self.port = port
        self.statuses: Counter[int] = Counter()
        self.lost: list[tuple[int, str]] = []  # the client's port, and what it had got
        self.connected: set[int] = set()  # ports of clients that are connected
        self._requests = requests
        self._progress = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self.join()

    def join(self) -> None:
        """Until every client has left."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "clients wait for answers that do not come"

    def more(self, answers: int) -> None:
        """Until so many more answers have come."""
        with self._progress:
            goal = self.statuses.total() + answers
            assert self._progress.wait_for(lambda: self.statuses.total() >= goal, WAIT_S), "no more answers come"

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(raw) for raw in self._requests))

    async def _client(self, raw: bytes) -> None:
        while not self._stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                return
            port = writer.get_extra_info("sockname")[1]
            self.connected.add(port)
            try:
                while not self._stopping:
                    writer.write(raw)
                    status, close = await _answer(reader)
                    with self._progress:
                        self.statuses[status] += 1
                        self._progress.notify_all()
                    if close:
                        break
            except (OSError, asyncio.IncompleteReadError) as e:
                self.lost.append((port, repr(getattr(e, "partial", e))))
            finally:
                self.connected.discard(port)
                writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of one whole answer, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    return int(head.split(None, 2)[1]), b"connection: close" in head


@pytest.fixture
def client(server: Running) -> type[Running]:
    """What makes and reads messages; its server is not used here."""
    return type(server)


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    """`with program(ref, "--flag") as run:`; leaving the block kills what still runs."""

    @contextmanager
    def start(*words: object) -> Iterator[Program]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
        command = [sys.executable, "-m", "gantline", "serve", "--http-port", "0", "--json", *map(str, words)]
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


@pytest.fixture(scope="session")
def load() -> type[Load]:
    return Load


@pytest.fixture(scope="session")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package whose script yields as many pieces as its request says, a hundredth of a second each."""
    import gantline

    folder = tmp_path_factory.mktemp("streaming")
    (folder / "score.py").write_text(
        "import json, time\n"
        "def init(): pass\n"
        "def run(data):\n"
        "    for i in range(json.loads(data)['pieces']):\n"
        "        time.sleep(0.01)\n"
        "        yield f'piece {i} '\n"
    )
    gantline.package(script=folder / "score.py", name="pieces", output=folder / "pieces.pkg")
    return folder / "pieces.pkg"
