"""Three times the capacity: what is answered in time, what is refused, memory, and how the server is afterwards.

`python benchmarks/overload.py [--target-ms 50] [--seconds 30] [--rows 2] [--script MS]`. Capacity is measured first:
what a server without a target answers in a second when all of 64 clients ask again at once. Then Poisson arrivals, open
loop: half of that, three times that, and half again. The second in which 2,048 connections are made does not count, nor
does the one in which the flood runs off. On two cores the engine has one; the event loop and the load
generator share the other. With larger batches (--rows) capacity is higher, and so is what refusing twice as much takes
of that core.
--script: /score of an Azure script whose run() takes so many ms, in the place of the model.
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

import gantline

CLIENTS = 64
CALM_S = 5.0
SCORE = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


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
    parser.add_argument("--script", type=float, default=0.0, metavar="MS")
    args = parser.parse_args()
    target, over = args.target_ms, args.seconds
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        work = Path(folder)
        model = make_script(work, args.script) if args.script else make_model(work)
        load = OpenLoop(work, SCORE if args.script else binary_request())
        rows = "" if args.script else f"max_batch_size = {args.rows}\n"
        server, port = serve(stack, work, model, f"{rows}latency_target_ms = {target}")
        capacity = measured(load, serve(stack, work, model, rows)[1])
        first = poisson([capacity / 2], CALM_S, 1)
        flood = poisson([3 * capacity], over, 2) + int(CALM_S * 1e9)
        last = poisson([capacity / 2], CALM_S, 3) + int((CALM_S + over) * 1e9)
        with Memory(server) as memory:
            whole = load.run(port, np.concatenate([first, flood, last]), connections=2048)
    end = CALM_S + over
    phases = {"before": (1, CALM_S), "three times": (CALM_S, end), "after": (end + 1, end + CALM_S)}
    found = [row_of(name, whole.between(*span), span, target, capacity, memory) for name, span in phases.items()]
    show(f"p99 below {target:g} ms, capacity {capacity:,.0f}/s", list(found[0]), [list(r.values()) for r in found])
    what = f"--script {args.script:g}" if args.script else f"--rows {args.rows}"
    command = f"python benchmarks/overload.py --target-ms {target:g} --seconds {over:g} {what}"
    figures = {"target_ms": target, "capacity_per_s": capacity, "rows": found}
    write("overload_score" if args.script else "overload", command, "its own capacity", figures)


def make_script(work: Path, ms: float) -> Path:
    """A package whose run() takes so long, without a processor: that is left to the server and the load generator."""
    text = f"import time\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    time.sleep({ms / 1e3})\n    return data\n"
    (work / "score.py").write_text(text)
    return gantline.package(script=work / "score.py", name="mlp", output=work / "script.pkg").path


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
