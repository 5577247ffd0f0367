"""Three times the capacity: what is answered in time, what is refused, memory, and how the server is afterwards.

`python benchmarks/overload.py [--target-ms 50] [--seconds 30] [--rows 2]`. Capacity is measured first: what a server
without a target answers in a second when all of 64 clients ask again at once. Then Poisson arrivals, open loop: half of
that, three times that, and half again. On two cores the engine has one; the event loop and the load generator share the
other. With larger batches (--rows) capacity is higher, and so is what refusing twice as much takes of that core.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Process, show, write
from mlp_model import binary_request, make_model
from open_loop import OpenLoop, Outcome, poisson
from slo import serve

CLIENTS = 64
CALM_S = 5.0


class Memory:
    """A server's resident memory, looked at twice a second."""

    def __init__(self, server: Process) -> None:
        self.seen: list[tuple[float, float]] = []
        self._server = server
        self._began = time.perf_counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.seen.append((time.perf_counter() - self._began, self._server.rss_mb()))

    def between(self, begin_s: float, end_s: float) -> list[float]:
        return [mb for at, mb in self.seen if begin_s <= at < end_s]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target-ms", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rows", type=int, default=2, help="most in a batch")
    args = parser.parse_args()
    target, over = args.target_ms, args.seconds
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        work = Path(folder)
        load = OpenLoop(work, binary_request())
        model = make_model(work)
        server, port = serve(stack, work, model, f"max_batch_size = {args.rows}\nlatency_target_ms = {target}")
        capacity = measured(load, serve(stack, work, model, f"max_batch_size = {args.rows}")[1])
        first = poisson([capacity / 2], CALM_S, 1)
        flood = poisson([3 * capacity], over, 2) + int(CALM_S * 1e9)
        last = poisson([capacity / 2], CALM_S, 3) + int((CALM_S + over) * 1e9)
        with Memory(server) as memory:
            whole = load.run(port, np.concatenate([first, flood, last]), connections=2048)
    end = CALM_S + over
    phases = {"before": (0.0, CALM_S), "three times": (CALM_S, end), "after": (end + 1, end + CALM_S)}
    rows = [row_of(name, whole.between(*span), span, target, capacity, memory) for name, span in phases.items()]
    show(f"p99 below {target:g} ms, capacity {capacity:,.0f}/s", list(rows[0]), [list(r.values()) for r in rows])
    command = f"python benchmarks/overload.py --target-ms {target:g} --seconds {over:g} --rows {args.rows}"
    write("overload", command, "its own capacity", {"target_ms": target, "capacity_per_s": capacity, "rows": rows})


def measured(load: OpenLoop, port: int, seconds: int = 4) -> float:
    """Answers a second to clients that ask again as soon as they are answered; the first second does not count."""
    found = load.run(port, np.zeros(200_000, np.int64), CLIENTS, grace_s=seconds)
    done = found.due + found.latency
    return float(((found.status == 200) & (done > 1e9) & (done < seconds * 1e9)).sum()) / (seconds - 1)


def row_of(
    name: str, found: Outcome, span: tuple[float, float], target: float, capacity: float, memory: Memory
) -> dict[str, Any]:
    seconds, served = span[1] - span[0], found.served
    used = memory.between(*span)
    return {
        "phase": name,
        "offered_per_s": len(found.due) / seconds,
        "in_time_per_s": found.within(target) / seconds,
        "of_capacity": found.within(target) / seconds / capacity,
        "p50_ms": served.p(50),
        "p99_ms": served.p(99),
        "refused": int(np.isin(found.status, (429, 503)).sum()),
        "refused_p99_ms": float(np.percentile(found.latency[found.status == 503], 99)) / 1e6
        if (found.status == 503).any()
        else 0.0,
        "no_answer": int((found.status == 0).sum()),
        "rss_mb": max(used, default=float("nan")),
    }


if __name__ == "__main__":
    main()
