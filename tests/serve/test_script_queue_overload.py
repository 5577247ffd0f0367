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
from .held_up import HeldUp

TARGET_S, RUN_S, FLOOD_S = 0.25, 0.005, 9.0
SCRIPT = f"import time\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    time.sleep({RUN_S})\n    return data\n"


class Load:
    """Clients of one server, each on a connection of its own, and what they saw: status and seconds."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.message = server.post("/score", b"{}")
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.seen: list[tuple[int, float, float]] = []  # status, seconds, and when it was due

    async def one(self, due: float) -> None:
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(self.message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        await reader.readexactly(int(length[16:]))
        status = int(head[9:12])
        assert status == 200 or b"retry-after: " in head
        self.seen.append((status, perf_counter() - due, due))
        self.idle.append((reader, writer))

    async def closed(self, clients: int, seconds: float) -> float:
        """Answers a second to clients that ask again at once."""
        self.seen = []
        began = perf_counter()

        async def client() -> None:
            while perf_counter() < began + seconds:
                await self.one(perf_counter())

        await asyncio.gather(*(client() for _ in range(clients)))
        return sum(status == 200 for status, _, _ in self.seen) / (perf_counter() - began)

    async def open(self, rate: float, seconds: float) -> list[tuple[int, float, float]]:
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
@pytest.mark.alone
def test_three_times_the_capacity(servers: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCRIPT)
    package = gantline.package(script=tmp_path / "score.py", name="m", output=tmp_path / "m.pkg").path
    server = servers(package, latency_target_ms=TARGET_S * 1e3)

    async def test(held_up: HeldUp) -> None:
        load = Load(server)
        capacity = max([await load.closed(8, 0.5) for _ in range(5)])
        await load.open(3 * capacity, 2.0)  # until the limit has found its place
        before = resident_bytes()
        began = perf_counter()
        seen = await load.open(3 * capacity, FLOOD_S)
        grown = resident_bytes() - before
        ended = perf_counter()
        after = await load.open(0.4 * capacity, 4.0)
        slower = min(capacity, max([await load.closed(8, 0.5) for _ in range(5)]))  # so may the machine have become
        for _, writer in load.idle:
            writer.close()
        told = held_up.free(began, began + FLOOD_S)
        calm = [(s, t) for s, t, due in after if due > ended + 1 and not held_up.touches(due, due + t)]
        if len(told) < FLOOD_S / 3 or not calm:
            pytest.skip("the machine is too busy to tell")
        answered = [(t, due) for status, t, due in seen if status == 200]
        times = sorted(t for t, due in answered if any(s <= due < s + 1 for s in told))
        goodput = sum(took <= TARGET_S for took in times) / len(told)
        assert goodput >= 0.9 * slower, f"{goodput:.0f} of {slower:.0f}/s"
        assert times[int(0.99 * len(times))] <= TARGET_S
        assert {status for status, _, _ in seen} <= {200, 503} and len(answered) < 0.6 * len(seen)
        assert grown < 8 << 20, "this process is the client's too"
        assert {status for status, _ in calm} == {200} and statistics.median(t for _, t in calm) < 5 * RUN_S

    async def watched() -> None:
        async with HeldUp() as held_up:
            await test(held_up)

    asyncio.run(watched())
