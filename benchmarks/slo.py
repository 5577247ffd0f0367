"""The latency target under step load: SLO mode against fixed batch sizes and delays, each on a server of its own.

`python benchmarks/slo.py [--target-ms 25] [--seconds 2] [--rounds 2]`. Poisson arrivals, open loop, in steps of 20 to
90 % of capacity: the most that any of the servers answers within the target when it is offered more than it can do,
measured first with fixed settings. Servers take turns, with the same arrivals for all in a round. For each: the share
of one-second windows whose p99 met the target, and what was answered in time. Engine and event loop have a core each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from measuring import Process, free_port, show, write
from mlp_model import binary_request, make_model
from open_loop import OpenLoop, Outcome, poisson

SHARES = [0.2, 0.9, 0.3, 0.7, 0.5, 0.9, 0.2, 0.8, 0.4, 0.6]
FIXED = [(8, 0.0), (16, 0.0), (64, 0.0), (64, 2.0)]  # most rows, longest wait in ms
PROBE_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target-ms", type=float, default=25.0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    target = args.target_ms
    end = args.seconds * len(SHARES)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        work = Path(folder)
        model, load = make_model(work), OpenLoop(work, binary_request())
        ports = {
            f"{rows} rows, {delay:g} ms": serve(
                stack, work, model, f"max_batch_size = {rows}\nmax_queue_delay_ms = {delay}\nlatency_target_ms = 0"
            )[1]
            for rows, delay in FIXED
        }
        slo = "target"
        ports[slo] = serve(stack, work, model, f"max_batch_size = 64\nlatency_target_ms = {target}")[1]
        capacity = max(sustained(load, port, target) for name, port in ports.items() if name != slo)
        runs: dict[str, list[Outcome]] = {name: [] for name in ports}
        for i in range(args.rounds):
            due = poisson([capacity * share for share in SHARES], args.seconds, 10 + i)
            for name in sorted(ports, key=lambda _: i % 2 == 1):
                runs[name].append(load.run(ports[name], due))
        why = dispatch(ports[slo])
    rows = [row_of(name, found, target, end) for name, found in runs.items()]
    keeping = [r for r in rows if r["setting"] != slo and r["windows_met"] >= 0.95]
    best = max((r["in_time_per_s"] for r in keeping), default=float("nan"))
    for row in rows:
        row["of_best_fixed"] = row["in_time_per_s"] / best
    show(f"p99 below {target:g} ms, 20 to 90 % of {capacity:,.0f}/s", list(rows[0]), [list(r.values()) for r in rows])
    sys.stdout.write(f"why: {why['reasons']}\n")
    command = f"python benchmarks/slo.py --target-ms {target:g} --seconds {args.seconds:g} --rounds {args.rounds}"
    write(
        "slo", command, "the same server with fixed batch sizes and delays",
        {"target_ms": target, "capacity_per_s": capacity, "rows": rows, "dispatch": why},
    )  # fmt: skip


def serve(stack: contextlib.ExitStack, work: Path, model: Path, settings: str) -> tuple[Process, int]:
    """A server of the model with these settings, and its port."""
    port = free_port()
    file = work / f"{port}.toml"
    file.write_text(f"[model.mlp]\nthreads = 1\n{settings}\n")
    command = [
        sys.executable,
        "-m",
        "gantline",
        "serve",
        str(model),
        "--http-port",
        str(port),
        "--no-grpc",
        "--config",
        str(file),
    ]
    server = stack.enter_context(Process(command))
    server.answers(f"http://127.0.0.1:{port}/v2/health/ready")
    return server, port


def sustained(load: OpenLoop, port: int, target_ms: float) -> float:
    """The highest rate at which, for a while, 99 of 100 are answered within the target; by bisection."""
    low, high = 0.0, 16_000.0
    for i in range(5):
        middle = (low + high) / 2
        found = load.run(port, poisson([middle], PROBE_S, i), grace_s=1)
        if found.within(target_ms) >= 0.99 * len(found.due):
            low = middle
        else:
            high = middle
    return low


def dispatch(port: int) -> dict[str, Any]:
    """What the server tells of its batches."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/mlp/dispatch", timeout=10) as answer:
        told = json.load(answer)
    return {"reasons": told["reasons"], "pace": told["workers"][0]["pace"]}


def row_of(name: str, runs: list[Outcome], target: float, end: float) -> dict[str, Any]:
    mean = statistics.fmean
    return {
        "setting": name,
        "windows_met": mean(r.windows(target, end) for r in runs),
        "in_time_per_s": mean(r.within(target) / end for r in runs),
        "of_best_fixed": 0.0,
        "offered_per_s": mean(len(r.due) / end for r in runs),
        "p50_ms": mean(r.served.p(50) for r in runs),
        "p99_ms": mean(r.served.p(99) for r in runs),
        "refused": sum(int((r.status != 200).sum()) for r in runs),
    }


if __name__ == "__main__":
    main()
