"""/score at three times what its script can do, open loop: what is answered in time, what is refused, and memory."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pytest

import gantline

from .conftest import Running

TARGET_S, RUN_S = 0.25, 0.005
SCRIPT = f"import time\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    time.sleep({RUN_S})\n    return data\n"


class Load:
    """Clients of one server, each on a connection of its own, and what they saw: status and seconds."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.message = server.post("/score", b"{}")
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.seen: list[tuple[int, float]] = []

    async def one(self, due: float) -> None:
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(self.message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        await reader.readexactly(int(length[16:]))
        status = int(head[9:12])
        assert status == 200 or b"retry-after: " in head
        self.seen.append((status, perf_counter() - due))
        self.idle.append((reader, writer))

    async def closed(self, clients: int, seconds: float) -> float:
        """Answers a second to clients that ask again at once."""
        began = perf_counter()

        async def client() -> None:
            while perf_counter() < began + seconds:
                await self.one(perf_counter())

        await asyncio.gather(*(client() for _ in range(clients)))
        return sum(status == 200 for status, _ in self.seen) / (perf_counter() - began)

    async def open(self, rate: float, seconds: float) -> list[tuple[int, float]]:
        """A request at every 1/rate seconds, whatever the answers do."""
        self.seen = []
        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for i in range(int(rate * seconds)):
                due = began + i / rate
                await asyncio.sleep(due - perf_counter())
                group.create_task(self.one(due))
        return self.seen


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_three_times_the_capacity(servers: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCRIPT)
    package = gantline.package(script=tmp_path / "score.py", name="m", output=tmp_path / "m.pkg").path
    server = servers(package, latency_target_ms=TARGET_S * 1e3)

    async def test() -> None:
        load = Load(server)
        capacity = await load.closed(8, 2.0)
        await load.open(3 * capacity, 2.0)  # until the limit has found its place
        before = resident_bytes()
        seen = await load.open(3 * capacity, 6.0)
        grown = resident_bytes() - before
        answered = sorted(took for status, took in seen if status == 200)
        goodput = sum(took <= TARGET_S for took in answered) / 6.0
        assert goodput >= 0.9 * capacity, f"{goodput:.0f} of {capacity:.0f}/s"
        assert answered[int(0.99 * len(answered))] <= TARGET_S
        assert {status for status, _ in seen} <= {200, 503} and len(answered) < 0.6 * len(seen)
        assert grown < 8 << 20, "this process is the client's too"
        after = await load.open(0.4 * capacity, 2.0)
        assert {status for status, _ in after} == {200} and statistics.median(t for _, t in after) < 5 * RUN_S
        for _, writer in load.idle:
            writer.close()

    asyncio.run(test())
