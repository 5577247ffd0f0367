"""What large, hostile and interrupted bodies took is given back: a real process, looked at from outside."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory from /proc"),
]
MIB = 1 << 20
PATH = "/v2/models/double/infer"
BOUND_MIB = 100  # over the start: what the allocator may keep; one body with all its forms is several times 20 MiB


class Server:
    """`gantline serve` in a process of its own."""

    def __init__(self, zoo: Path, log: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
        command = [sys.executable, "-m", "gantline", "serve", str(zoo / "double.onnx"), "--http-port", "0", "--json"]
        self.log = log.open("w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["url"].rpartition(":")[2])

    def resident(self) -> float:
        """In MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 60)


@pytest.fixture
def server_process(zoo: Path, tmp_path: Path) -> Iterator[Server]:
    server = Server(zoo, tmp_path / "log")
    try:
        yield server
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0, (tmp_path / "log").read_text()
    finally:
        server.process.kill()
        server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()
        server.log.close()


def settled(client: type[Running], process: Server) -> float:
    """The memory once every earlier connection has been seen to be gone; in MiB."""
    answer = b""
    for _ in range(3):
        with process.connect() as s:
            s.sendall(client.get("/v2/health/live", "Connection: close"))
            answer = client.read_all(s)
    assert answer.startswith(b"HTTP/1.1 200")
    return process.resident()


def test_memory_returns(server_process: Server, server: Running) -> None:
    client, process = type(server), server_process
    rows = 20 * MIB // 12
    tensor = {"name": "x", "shape": [rows, 3], "datatype": "FP32", "parameters": {"binary_data_size": rows * 12}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    binary = client.post(PATH, head + bytes(rows * 12), f"Inference-Header-Content-Length: {len(head)}")
    text = client.post(
        PATH, b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[%s1]}]}' % (b"1," * (10 * MIB))
    )
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(machine.compress(bytes(MIB)) for _ in range(1024)) + machine.flush()
    bombs = client.post(PATH, bomb, "Content-Encoding: gzip")
    packed = client.post(PATH, gzip.compress(b" " * (60 * MIB)), "Content-Encoding: gzip")

    def ask(raw: bytes, status: int, times: int) -> None:
        with process.connect() as s:
            for _ in range(times):
                s.sendall(raw)
                assert client.read_answer(s).status == status

    ask(binary, 200, 3)
    start = settled(client, process)
    ask(binary, 200, 150)
    ask(text, 400, 10)
    ask(bombs, 413, 50)
    ask(packed, 400, 40)
    for i in range(250):
        with process.connect() as s:  # these leave in the middle of their body, or of their answer
            s.sendall(binary[: -1 if i % 2 else -i * 1000 - 1] if i % 3 else binary)
    end = settled(client, process)
    sys.stdout.write(f"resident: {start:.0f} MiB before, {end:.0f} MiB after\n")
    assert end < start + BOUND_MIB


def test_tenants_that_never_come_again_take_no_memory(server_process: Server, server: Running) -> None:
    """Each request of 20,000 has a tenant and a head of its own."""
    client, process = type(server), server_process
    body = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    seen = []
    with process.connect() as s, s.makefile("rb") as answers:
        for begin in range(0, 20_000, 16):
            names = range(begin, begin + 16)
            s.sendall(b"".join(client.post(PATH, body, f"x-gantline-tenant: tenant-{n}") for n in names))
            for _ in names:
                assert answers.readline().startswith(b"HTTP/1.1 200")
                lines = iter(answers.readline, b"\r\n")
                answers.read(next(int(line[16:]) for line in list(lines) if line.startswith(b"content-length: ")))
            if begin % 4_000 == 0:
                seen.append(process.resident())
    assert process.resident() - seen[1] < 3, f"{seen} MiB; 20 thousand names and heads alone are more"
