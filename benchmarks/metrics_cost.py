"""What measuring costs: one-row V2 JSON requests a second with metrics and without, in the same run.

`python benchmarks/metrics_cost.py [--seconds 2] [--rounds 15]`. Two servers of the same model take turns, in the order
ABBA, so that both meet the same disturbances; the one that measures is scraped once a second, which is fifteen times
as often as Prometheus does by itself. Two figures for each round: the ratio of requests a second, and that of CPU time
for a request, which other processes of the machine disturb less; told are their medians and quartiles. Beside them:
what counting takes for a request, alone in a loop, where nothing disturbs it, as a share of that CPU time; and what
observing one duration takes, ours and prometheus_client's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantline.serve.statistics import Statistics
from gantline.serve.telemetry.histogram import Histogram
from iris_model import BODY, make_package
from measuring import Process, free_port, show, write, wrk

from gantline.request import Request

WANTED = 0.98  # of the throughput without
CONNECTIONS = (1, 32, 64)
OBSERVED = 20_000  # durations
COUNTED = 2048  # requests
START = 10**12  # ns; any time
CLIENT = """
import sys, time
from prometheus_client import Histogram
child = Histogram("phase_seconds", "x", ["model", "phase"], registry=None).labels("m", "compute")
best = min(
    (lambda t: ([child.observe(0.0001) for _ in range(20000)], time.perf_counter_ns() - t)[1])(time.perf_counter_ns())
    for _ in range(5)
)
print(best / 20000)
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is, and its process."""

    url: str
    process: Process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        package = make_package(work)
        with serving(package) as measured, serving(package, "--no-metrics") as plain, scraping(measured):
            rows = [ratios(measured, plain, c, args.seconds, args.rounds, work) for c in CONNECTIONS]
        prometheus = {
            "prometheus_client": observed_by_client(),
            "prometheus_client, multiprocess": observed_by_client(PROMETHEUS_MULTIPROC_DIR=folder),
        }
    observing = {"gantline": observed(), **prometheus}
    cpu_us = {row["connections"]: row["with_cpu_us"] for row in rows}
    counting = [counted(n, cpu_us[n]) for n in (1, 32)]
    columns = (
        "connections", "with req/s", "without req/s", "share", "quartiles", "with CPU us", "without CPU us", "share",
        "quartiles", "wanted",
    )  # fmt: skip
    show("With metrics as a share of without (medians)", columns, [[_told(v) for v in r.values()] for r in rows])
    counted_columns = ("requests in a batch", "with ns", "without ns", "share of a request's CPU time")
    show("Counting one request", counted_columns, [[_told(v) for v in r.values()] for r in counting])
    show("Observing one duration", ("by", "ns"), list(observing.items()))
    write(
        "metrics_cost",
        f"python benchmarks/metrics_cost.py --seconds {args.seconds:g} --rounds {args.rounds}",
        "the same server with --no-metrics; prometheus_client",
        {"rows": rows, "counting": counting, "observing_ns": observing},
    )


@contextlib.contextmanager
def serving(package: Path, *flags: str) -> Iterator[Server]:
    """A server that is ready."""
    port = free_port()
    command = [sys.executable, "-m", "gantline", "serve", str(package), "--http-port", str(port), "--no-grpc", *flags]
    with Process(command) as server:
        url = f"http://127.0.0.1:{port}"
        server.answers(f"{url}/v2/models/iris/infer", BODY)
        yield Server(url, server)


@contextlib.contextmanager
def scraping(server: Server) -> Iterator[None]:
    """Read /metrics once a second."""
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(1):
            urllib.request.urlopen(f"{server.url}/metrics", timeout=10).read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def ratios(measured: Server, plain: Server, connections: int, seconds: int, rounds: int, work: Path) -> dict[str, Any]:
    """Both servers under so many connections, and how they compare."""

    def load(server: Server) -> tuple[float, float]:
        """Requests a second, and CPU time for each in us."""
        before = server.process.cpu_ns()
        found = wrk(f"{server.url}/v2/models/iris/infer", BODY, connections, seconds, work)
        return found.per_second, (server.process.cpu_ns() - before) / found.requests / 1000

    for server in (measured, plain):
        load(server)  # warm
    pairs = []
    for i in range(rounds):
        if i % 2:
            without, with_them = load(plain), load(measured)
        else:
            with_them, without = load(measured), load(plain)
        pairs.append((with_them, without))
    speed = statistics.quantiles([a[0] / b[0] for a, b in pairs], n=4)
    cpu = statistics.quantiles([b[1] / a[1] for a, b in pairs], n=4)
    return {
        "connections": connections,
        "with_per_s": statistics.median(a[0] for a, _ in pairs),
        "without_per_s": statistics.median(b[0] for _, b in pairs),
        "share": speed[1],
        "share_quartiles": [speed[0], speed[2]],
        "with_cpu_us": statistics.median(a[1] for a, _ in pairs),
        "without_cpu_us": statistics.median(b[1] for _, b in pairs),
        "cpu_share": cpu[1],
        "cpu_share_quartiles": [cpu[0], cpu[2]],
        "wanted": WANTED,
    }


def counted(batch: int, cpu_us: float) -> dict[str, float]:
    """What statistics take for one request, in batches of a size; `cpu_us` is all that a server takes for it."""
    requests = [Request({}, arrived=START - 5000 - i, queued=START - 3000 - i) for i in range(batch)]
    turns = max(COUNTED // batch, 1)

    def took(measured: bool) -> float:
        counters = Statistics(measured)

        def run() -> None:
            for _ in range(turns):
                counters.executed(requests, batch, START, (1000, 20_000, 500), "full")
                for _ in requests:
                    began = time.perf_counter_ns() if measured else 0
                    ended = time.perf_counter_ns()
                    counters.succeeded(ended, ended - began)

        return best_of(run, 100) / turns / batch

    with_them, without = took(True), took(False)
    return {
        "requests_in_a_batch": batch,
        "with_ns": with_them,
        "without_ns": without,
        "share_of_cpu": (with_them - without) / cpu_us / 1000,
    }


def observed() -> float:
    """Nanoseconds to observe one duration, with its share of the counting."""
    histogram = Histogram()

    def run() -> None:
        for ns in range(OBSERVED):
            histogram.observe(ns)
            if not ns & 511:
                histogram.settle()

    return best_of(run, 50) / OBSERVED


def observed_by_client(**environment: str) -> float:
    """The same in the public client, in a process of its own: the variable is read when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _told(value: Any) -> object:
    if isinstance(value, list):
        return " .. ".join(f"{v:.3f}" for v in value)
    return f"{value:.4f}" if isinstance(value, float) and value < 2 else value


def best_of(run: Callable[[], None], times: int) -> int:
    """The shortest of several runs, in ns."""
    found = []
    for _ in range(times):
        began = time.perf_counter_ns()
        run()
        found.append(time.perf_counter_ns() - began)
    return min(found)


if __name__ == "__main__":
    main()
