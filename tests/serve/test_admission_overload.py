"""A real server offered three times what it can do: in time for whoever is admitted, at once for whoever is not.

Its engine is a real one that takes a set time on top, as a device elsewhere would: no CPU, so that other tests of the
machine do not decide what the capacity is.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from gantline.accelerators.engine import Engine

from gantline.signature import Signature
from gantline.tensors import Array

from .conftest import Running
from .held_up import HeldUp

FIXED_S, ROW_S, MAX_ROWS = 0.040, 0.002, 16
CAPACITY = MAX_ROWS / (FIXED_S + MAX_ROWS * ROW_S)  # 222 rows/s
TARGET_S = 0.5
CALM_S, FLOOD_S = 3.0, 30.0
BODY = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'
REQUEST = b"POST /v2/models/double/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Device:
    """An engine whose runs take so long."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.signature: Signature = engine.signature
        self.runs: list[tuple[float, float, int]] = []  # when each began and ended, and its rows

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        rows = next(iter(inputs.values())).shape[0]
        began = perf_counter()
        time.sleep(FIXED_S + rows * ROW_S)
        found = self._engine.run(inputs, outputs)
        self.runs.append((began, perf_counter(), rows))
        return found

    def capacity(self) -> float:
        """Rows a second that it could do, seen by its full runs: where a sleep is late, less than was meant."""
        full = [ended - began for began, ended, rows in self.runs if rows == MAX_ROWS]
        return min(CAPACITY, MAX_ROWS / statistics.fmean(full))

    def close(self) -> None:
        self._engine.close()


class Load:
    """Requests at set times, each on a free connection or a new one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.answers: list[tuple[float, float, bytes]] = []  # due, seconds, head
        self.held_up = HeldUp()
        self.began = 0.0

    def run(self, due: list[float]) -> list[tuple[float, float, bytes]]:
        asyncio.run(self._run(due))
        return sorted(self.answers)

    async def _run(self, due: list[float]) -> None:
        self.began = perf_counter()
        tasks = []
        async with self.held_up:
            for at in due:
                if (wait := self.began + at - perf_counter()) > 0:
                    await asyncio.sleep(wait)
                tasks.append(asyncio.ensure_future(self._one(at)))
            await asyncio.wait_for(asyncio.gather(*tasks), 60)
        for _, writer in self.free:
            writer.close()

    async def _one(self, due: float) -> None:
        if self.free:
            reader, writer = self.free.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        self.answers.append((due, perf_counter() - self.began - due, head))
        self.free.append((reader, writer))


def poisson(rate: float, begin: float, end: float, seed: int) -> list[float]:
    random = np.random.default_rng(seed)
    return sorted(random.uniform(begin, end, random.poisson(rate * (end - begin))).tolist())


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@pytest.mark.slow
@pytest.mark.alone
def test_three_times_the_capacity_for_half_a_minute(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx", latency_target_ms=str(TARGET_S * 1000))
    model = server.stack.repository.find("double")
    device = model.session.engine = Device(model.session.engine)
    model.session.inline = False
    server.on_loop(lambda: setattr(model.batcher, "max_rows", MAX_ROWS))
    end = CALM_S + FLOOD_S
    due = poisson(CAPACITY / 2, 0, CALM_S, 1)
    due += poisson(3 * CAPACITY, CALM_S, end, 2)
    due += poisson(CAPACITY / 2, end, end + CALM_S, 3)
    before_mb = resident_mb()
    load = Load(server.port)
    answers = load.run(due)
    assert len(answers) == len(due)
    flood = [(at, took, head[:12]) for at, took, head in answers if CALM_S + 1 <= at < end]
    assert {head for _, _, head in flood} == {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    told = [round(s - load.began) for s in load.held_up.free(load.began + CALM_S + 1, load.began + end)]
    calm = [
        head for at, took, head in answers
        if (at < CALM_S or at > end + 1) and not load.held_up.touches(load.began + at, load.began + at + took)
    ]  # fmt: skip
    if len(told) < 10 or not calm:
        pytest.skip("the machine is too busy to tell")
    served = [took for at, took, head in flood if int(at) in told and head.endswith(b"200")]
    assert sum(took <= TARGET_S for took in served) / len(told) >= 0.9 * device.capacity()
    assert float(np.percentile(served, 99)) <= TARGET_S
    refused = [head for _, _, head in answers if head.startswith(b"HTTP/1.1 503")]
    assert all(b"\r\nretry-after: " in head.lower() for head in refused)
    assert {head[:12] for head in calm} == {b"HTTP/1.1 200"}
    assert resident_mb() - before_mb < 50  # the answers of the flood are kept here
    assert server.stack.core.budget.held == 0 and len(model.batcher) == 0
    reasons = model.statistics.rejections
    assert reasons["admission"] == len(refused) and set(reasons) == {"admission"}
