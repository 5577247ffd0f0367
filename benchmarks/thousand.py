"""A thousand models under a memory limit that holds an eighth of them, asked by a Zipf law (s = 1.1).

`python benchmarks/thousand.py`. Requests come at a steady rate whatever the server does, and their latency counts from
when they were due. A model's first request is cold for certain; the twenty most popular are warm after theirs. Beside
it Triton in explicit mode, where the client has to do what the server does here: it keeps as many models loaded as
Gantline does, loads one before it asks it, and unloads the longest unused. `--phases` tells where a first answer's time
goes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from measuring import Process, free_port, show, write
from thousand_models import BODY, make_models, name_of, triton
from thousand_report import picture

WARM = 20  # ranks
CONNECTIONS = 32
SAMPLE_S = 0.25  # between two looks at the memory
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Run:
    """What the client saw: latencies in ms, by kind of request, and memory (seconds, MB)."""

    first: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    failed: int = 0
    requests: int = 0
    late: int = 0  # requests that no connection was free for when they were due
    memory: list[tuple[float, float]] = field(default_factory=list)


class Connections:
    """Keep-alive connections of HTTP/1.1, as many as are used at once."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._address = host, int(port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> int:
        """The status."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        self._idle.append((reader, writer))
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


class Resident:
    """What a client of Triton in explicit mode does: load before use, unload the longest unused beyond `most`."""

    def __init__(self, connections: Connections, most: int) -> None:
        self._connections = connections
        self._most = most
        self._loaded: OrderedDict[str, asyncio.Future[None]] = OrderedDict()
        self._used: dict[str, int] = {}
        self.loads = self.unloads = 0

    async def ask(self, name: str) -> int:
        self._used[name] = self._used.get(name, 0) + 1
        try:
            there = self._loaded.get(name)
            if there is None:
                there = self._loaded[name] = asyncio.get_running_loop().create_future()
                await self._unload()
                self.loads += 1
                await self._connections.post(f"/v2/repository/models/{name}/load", b"{}")
                there.set_result(None)
            self._loaded.move_to_end(name)
            await asyncio.shield(there)
            return await self._connections.post(f"/v2/models/{name}/infer", BODY)
        finally:
            self._used[name] -= 1

    async def _unload(self) -> None:
        while len(self._loaded) > self._most:
            name = next((n for n, there in self._loaded.items() if not self._used.get(n) and there.done()), None)
            if name is None:
                return
            del self._loaded[name]
            self.unloads += 1
            await self._connections.post(f"/v2/repository/models/{name}/unload", b"{}")


async def drive(ask: Callable[[str], Awaitable[int]], order: list[int], rate: float, process: Process) -> Run:
    """Ask the models in order, at a rate. The lower its number, the more popular a model is."""
    run, seen, free = Run(), set[int](), asyncio.Semaphore(CONNECTIONS)
    began = time.perf_counter()

    async def one(model: int, due: float) -> None:
        first = model not in seen
        seen.add(model)
        try:
            good = await ask(name_of(model)) == 200
        except (OSError, EOFError):
            good = False
        finally:
            free.release()
        took = 1000 * (time.perf_counter() - due)
        run.requests += 1
        run.failed += not good
        if good and (first or model < WARM):
            (run.first if first else run.warm).append(took)

    async def watch() -> None:
        while True:
            run.memory.append((round(time.perf_counter() - began, 2), round(rss_mb(process), 1)))
            await asyncio.sleep(SAMPLE_S)

    watching = asyncio.ensure_future(watch())
    tasks = set[asyncio.Task[None]]()
    for i, model in enumerate(order):
        due = began + i / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        run.late += free.locked()
        await free.acquire()
        task = asyncio.ensure_future(one(model, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    watching.cancel()
    return run


def rss_mb(process: Process) -> float:
    total = 0
    for pid in process.family():
        with suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE
    return total / (1 << 20)


def zipf(models: int, requests: int, s: float = 1.1) -> list[int]:
    weights = list(accumulate(1 / (rank + 1) ** s for rank in range(models)))
    return random.Random(1).choices(range(models), cum_weights=weights, k=requests)


def quantiles(values: list[float]) -> dict[str, float]:
    ranked = sorted(values) or [float("nan")]
    return {
        "p50_ms": round(statistics.median(ranked), 3),
        "p99_ms": round(ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))], 3),
        "count": len(values),
    }


def figures(server: str, run: Run, seconds: float, loads: int, unloads: int, **more: Any) -> dict[str, Any]:
    return {
        "server": server,
        **more,
        "requests": run.requests,
        "failed": run.failed,
        "late": run.late,
        "first_answer": quantiles(run.first),
        "warm": quantiles(run.warm),
        "loads_per_s": round(loads / seconds, 1),
        "unloads_per_s": round(unloads / seconds, 1),
        "peak_rss_mb": max(m for _, m in run.memory),
        "memory": run.memory,
    }


def gantline(folder: Path, args: argparse.Namespace, order: list[int]) -> dict[str, Any]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "gantline",
        "serve",
        folder / "packages",
        "--http-port",
        str(port),
    ]
    command += ["--no-grpc", "--load", "on-demand", "--memory", f"{args.memory}MiB", "--log-level", "warning"]
    starts, empty = [], 0.0
    for _ in range(3):
        with Process(command) as process:
            starts.append(process.answers(f"{url}/v2/health/ready"))
            empty = rss_mb(process)
    with Process(command) as process:
        process.answers(f"{url}/v2/health/ready")
        run, found = asyncio.run(_ask_gantline(url, order, args, process))
    return figures(
        "gantline", run, len(order) / args.rate,
        round(found['gantline_model_loads_total{outcome="ok"}']),
        round(found['gantline_model_unloads_total{reason="memory"}']),
        start_s=round(statistics.median(starts), 2), rss_at_start_mb=round(empty, 1), limit_mb=args.memory,
        loaded=round(found['gantline_models{state="loaded"}']),
        weight_mb=round(found["gantline_models_bytes"] / (1 << 20), 1),
    )  # fmt: skip


async def _ask_gantline(
    url: str, order: list[int], args: argparse.Namespace, process: Process
) -> tuple[Run, dict[str, float]]:
    connections = Connections(url)

    async def ask(name: str) -> int:
        return await connections.post(f"/v2/models/{name}/infer", BODY)

    run = await drive(ask, order, args.rate, process)
    connections.close()
    return run, await asyncio.to_thread(_metrics, url)


def _metrics(url: str) -> dict[str, float]:
    import urllib.request

    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {key: float(value) for key, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))}


def explicit_triton(folder: Path, args: argparse.Namespace, order: list[int], most: int) -> dict[str, Any]:
    process, url = triton(folder, args.models)
    with process:
        start = process.answers(f"{url}/v2/health/ready")
        empty = rss_mb(process)
        run, client = asyncio.run(_ask_triton(url, order, args, process, most))
    return figures(
        "Triton 2.51, explicit mode", run, len(order) / args.rate, client.loads, client.unloads,
        start_s=round(start, 2), rss_at_start_mb=round(empty, 1), loaded=most,
    )  # fmt: skip


async def _ask_triton(
    url: str, order: list[int], args: argparse.Namespace, process: Process, most: int
) -> tuple[Run, Resident]:
    connections = Connections(url)
    client = Resident(connections, most)
    run = await drive(client.ask, order, args.rate, process)
    connections.close()
    return run, client


def phases(folder: Path, count: int) -> dict[str, float]:
    """Medians in ms of what a load does, in the order in which it does it, of packages opened for the first time."""
    from gantline.accelerators.replay import replay
    from gantline.accelerators.session import Session
    from gantline.accelerators.warming import warm_up

    from gantline.packages import Package

    took: dict[str, list[float]] = {}
    for i in range(count):
        last = time.perf_counter()

        def lap(what: str) -> None:
            nonlocal last
            now = time.perf_counter()
            took.setdefault(what, []).append(1000 * (now - last))
            last = now

        package = Package.open(folder / "packages" / f"{name_of(i)}.pkg")
        lap("manifest (at start)")
        package.verify_listed()
        lap("digests")
        session = Session.open(package)
        lap("onnxruntime session")
        replay(session)
        lap("golden samples")
        warm_up(session)
        lap("warm-up")
        session.close()
    return {what: round(statistics.median(values), 3) for what, values in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=300, help="requests a second")
    parser.add_argument("--memory", type=int, default=100, help="MiB")
    parser.add_argument("--no-triton", action="store_true")
    parser.add_argument("--phases", action="store_true", help="only where a first answer's time goes")
    parser.add_argument("--keep", type=Path, help="where models are made, and kept for the next run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        make_models(folder, args.models)
        parts = phases(folder, min(200, args.models))
        if args.phases:
            sys.stdout.write(json.dumps(parts, indent=1) + "\n")
            return
        order = zipf(args.models, round(args.rate * args.seconds))
        rows = [gantline(folder, args, order)]
        if not args.no_triton:
            rows.append(explicit_triton(folder, args, order, rows[0]["loaded"]))
    columns = ("server", "start s", "first answer p50 ms", "p99", "warm p50", "p99", "loads/s", "peak RSS MB", "failed")
    table = [
        [
            r["server"], r["start_s"], *(r[k][q] for k in ("first_answer", "warm") for q in ("p50_ms", "p99_ms")),
            r["loads_per_s"], r["peak_rss_mb"], r["failed"],
        ]
        for r in rows
    ]  # fmt: skip
    show(f"{args.models} models, {args.rate:.0f} requests/s, Zipf 1.1", columns, table)
    command = f"python benchmarks/thousand.py --seconds {args.seconds:g} --rate {args.rate:g} --memory {args.memory}"
    tree = {"models": args.models, "phases_ms": parts, "rows": rows}
    write("thousand", command, "Triton in explicit mode, whose client keeps as many loaded", tree)
    (Path(__file__).parent / "results" / "thousand.svg").write_text(picture(tree))


if __name__ == "__main__":
    main()
