"""Gantline beside eight other servers, bare echoes and bare onnxruntime, on four workloads, all in one go.

`python benchmarks/against_peers.py [--quick] [--only abcd] [--servers TEXT]`. The servers of a workload are all up,
each stopped (SIGSTOP) while it is not its turn; they take turns by rounds, each round beginning with another one, so
that what disturbs the machine hits all alike. The load (wrk -t1; h2load for gRPC) shares the cores with the servers.
Every server's answer is checked before it is measured. Environments: scripts/rivals.py; servers and their settings:
benchmarks/contestants.py and benchmarks/peers/; what is wanted: benchmarks/bars.py.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from bars import Row, verdicts
from contestants import CONTESTANTS, INFER, Contestant, Running, gantline
from measuring import RESULTS, ROOT, Load, h2load, machine, write, wrk
from peers_report import picture, table
from workloads import Workload, answers, make

from gantline.wire import v2_grpc

# seconds a load, rounds
PLAN = {"a": (2.0, 3), "b": (2.0, 2), "c": (2.0, 2), "d": (4.0, 2)}
CONNECTIONS = (1, 32, 64)
STREAMS = 64  # of h2load: four connections of 16


@dataclass
class Run:
    """What one run has found so far."""

    scale: float
    quick: bool
    work: Path
    rows: dict[tuple[str, str, str, int], Row] = field(default_factory=dict)
    starts: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, str]] = field(default_factory=list)
    weather: list[dict[str, Any]] = field(default_factory=list)
    batches: dict[str, list[float]] = field(default_factory=dict)

    def add(self, workload: Workload, server: str, kind: str, wire: str, connections: int, load: Load) -> None:
        key = (workload.key, server, wire, connections)
        self.rows.setdefault(key, Row(workload.key, server, kind, wire, connections)).loads.append(load)

    def lack(self, workload: Workload, server: str, why: str) -> None:
        """Note that a server could not be measured; the last line of why goes into the results."""
        sys.stderr.write(f"{workload.key} {server}: {why}\n")
        reason = why.strip().splitlines()[-1].replace(str(self.work), "").replace(str(ROOT), "")[:300]
        self.missing.append({"workload": workload.key, "server": server, "reason": reason})

    def plan(self, workload: Workload) -> tuple[float, int]:
        seconds, rounds = PLAN[workload.key]
        return (1.0, 1) if self.quick else (seconds * self.scale, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a second each; writes no results")
    parser.add_argument("--only", default="abcd", help="workloads")
    parser.add_argument("--servers", default="", help="only servers whose name holds one of these, with | between")
    parser.add_argument("--scale", type=float, default=1.0, help="longer or shorter loads")
    args = parser.parse_args()
    # whoever ends this must not leave two dozen servers behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    began, before = time.monotonic(), machine()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(args.scale, args.quick, Path(folder))
        tree = results(run, before, 0.0)
        for key in args.only:
            workload = make(key, Path(folder) / key)
            chosen = [c for c in contestants(workload) if any(s in c.name for s in args.servers.split("|"))]
            compare(run, workload, chosen)
            tree = results(run, before, time.monotonic() - began)
            if not args.quick:  # after each workload: what is known then is not lost
                command = f"python benchmarks/against_peers.py --only {args.only} --scale {args.scale:g}"
                write("peers", command, "other servers, bare echoes, bare onnxruntime", tree)
                (RESULTS / "peers.md").write_text(table(tree) + "\n")
                (RESULTS / "peers.svg").write_text(picture(tree))
    sys.stdout.write(table(tree) + "\n")


def contestants(workload: Workload) -> list[Contestant]:
    found = [c for c in CONTESTANTS if workload.key in c.only]
    if workload.unbatched is not None:
        single = workload.unbatched
        start = gantline(1, package=lambda _: single)
        found.append(Contestant("gantline, max_batch_size 1", "unbatched", start, "--workers 1", "c"))
    return found


def compare(run: Run, workload: Workload, chosen: list[Contestant]) -> None:
    """All rounds of one workload."""
    seconds, rounds = run.plan(workload)
    with ExitStack() as stack:
        servers: list[tuple[Contestant, Running]] = []
        for one in chosen:
            try:
                servers.append((one, started(run, workload, one, stack)))
            except (SystemExit, OSError, subprocess.CalledProcessError, AssertionError) as e:
                run.lack(workload, one.name, str(e))
        for n in range(rounds):
            load = [round(x, 2) for x in os.getloadavg()]
            run.weather.append({"workload": workload.key, "round": n + 1, "load_average": load})
            first = n * len(servers) // rounds
            sys.stderr.write(
                f"{workload.key}, round {n + 1} of {rounds}, {time.strftime('%H:%M:%S')}, load {load[0]}\n"
            )
            for one, running in servers[first:] + servers[:first]:
                running.process.resume()
                try:
                    visit(run, workload, one, running, seconds)
                except (OSError, subprocess.CalledProcessError) as e:
                    run.lack(workload, one.name, f"{e}; {running.process.said()}\nround {n + 1}: ended under load")
                    servers.remove((one, running))
                rest(running)
            loops(run, workload, seconds)
        for _, running in servers:
            running.process.resume()


def started(run: Run, workload: Workload, one: Contestant, stack: ExitStack) -> Running:
    """The server, up, checked, warm and stopped. AssertionError if it answers wrongly."""
    running = one.start(workload, run.work)
    process = stack.enter_context(running.process)
    try:
        if running.url:
            ready = process.answers(running.url, running.body.data, headers=running.body.headers)
            if one.kind != "echo":
                assert answers(_first(running), workload.expected), f"{one.name} answers something else"
        else:
            ready = float("nan")
        if speaks_grpc(workload, one, running):
            try:
                _check_grpc(workload, one, running)
                h2load(running.grpc + INFER, workload.grpc(), 1, run.work)
            except (grpc.RpcError, AssertionError) as e:
                why = e.details() if isinstance(e, grpc.Call) else str(e)
                run.lack(workload, f"{one.name}, gRPC", f"gRPC: {why}")
                running = replace(running, grpc="")
        if running.url:
            wrk(running.url, running.body.data, 32, 1, run.work, running.body.headers)
            entry = {"workload": workload.key, "server": one.name, "settings": one.settings}
            run.starts.append({**entry, "wire": running.body.wire, "start_s": ready, "rss_mb": process.rss_mb()})
    finally:
        rest(running)
    return running


def rest(running: Running) -> None:
    """Stop it until its next turn, if it can bear that."""
    if running.pausable:
        running.process.pause()


def speaks_grpc(workload: Workload, one: Contestant, running: Running) -> bool:
    """Only the smallest workload is sent over gRPC, too: there the protocol is what costs."""
    return bool(running.grpc) and workload.key == "a"


def visit(run: Run, workload: Workload, one: Contestant, running: Running, seconds: float) -> None:
    """One server's turn in one round."""
    if running.url:
        for connections in CONNECTIONS:
            _posted(running)  # behind what an earlier load has left in the queue
            before = _counted(workload, running) if one.kind in ("gantline", "unbatched") else (0, 0)
            load = wrk(running.url, running.body.data, connections, seconds, run.work, running.body.headers)
            run.add(workload, one.name, one.kind, running.body.wire, connections, load)
            if before[1]:
                after = _counted(workload, running)
                average = (after[0] - before[0]) / max(1, after[1] - before[1])
                run.batches.setdefault(f"{workload.key}, {one.name}, {connections} connections", []).append(average)
    if speaks_grpc(workload, one, running):
        load = h2load(running.grpc + INFER, workload.grpc(), seconds, run.work)
        run.add(workload, one.name, one.kind, "gRPC", STREAMS, load)


def loops(run: Run, workload: Workload, seconds: float) -> None:
    """onnxruntime without a server: one row, and as many rows as our batches had at 64 connections."""
    loop(run, workload, seconds, 1, "one row", "row-loop" if workload.stacks else "loop")
    for setting in ("1 worker", "2 workers", "2 instances"):
        reached = run.batches.get(f"{workload.key}, gantline, {setting}, 64 connections")
        if reached and workload.stacks:
            loop(run, workload, seconds, round(reached[-1]), f"the batch that {setting} reached", "loop")


def loop(run: Run, workload: Workload, seconds: float, rows: int, about: str, kind: str) -> None:
    """One of them, with one thread."""
    shape = ",".join(map(str, (rows, *workload.row.shape[1:])))
    script = ROOT / "benchmarks/peers/raw_loop.py"
    command: list[str | Path] = [sys.executable, script, workload.model, "1", str(seconds), shape]
    each = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    load = Load(each * rows, 1000 / each, 1000 / each, 0, round(each * rows * seconds))
    run.add(workload, f"onnxruntime in a loop, {about}", kind, "none", 0, load)


def results(run: Run, before: dict[str, Any], took_s: float) -> dict[str, Any]:
    """What is written, without what `write` adds."""
    rows = list(run.rows.values())
    return {
        "machine_before": before,
        "took_s": round(took_s),
        "weather": run.weather,
        "verdicts": [{**asdict(v), "met": v.met} for v in verdicts(rows)],
        "average_batch": {name: statistics.mean(found) for name, found in run.batches.items()},
        "missing": run.missing,
        "starts": run.starts,
        "rows": [
            {
                **{k: getattr(r, k) for k in ("workload", "server", "kind", "wire", "connections")},
                **{k: _known(getattr(r, k)) for k in ("per_second", "p50_ms", "p99_ms")},
                "failed": r.failed,
                "rounds_per_second": [round(load.per_second, 1) for load in r.loads],
                "rounds_p50_ms": [_known(load.p50_ms) for load in r.loads],
            }
            for r in rows
        ],
    }


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _posted(running: Running) -> bytes:
    request = urllib.request.Request(running.url, running.body.data, dict(running.body.headers))
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def _first(running: Running, within_s: float = 10.0) -> bytes:
    """An answer with status 200. Of several workers one may be ready while another one still says 503."""
    end = time.monotonic() + within_s
    while True:
        try:
            return _posted(running)
        except urllib.error.HTTPError as e:
            if e.code != 503 or time.monotonic() > end:
                raise
            time.sleep(0.1)


def _check_grpc(workload: Workload, one: Contestant, running: Running) -> None:
    with grpc.insecure_channel(running.grpc.removeprefix("http://")) as channel:
        call = channel.unary_unary(INFER)
        for _ in range(100):
            try:
                body = call(workload.grpc(), timeout=30, wait_for_ready=True)
                break
            except grpc.RpcError as e:  # of several workers one may still be loading
                if e.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(0.1)
        else:
            raise AssertionError(f"{one.name} stays unavailable")
    if one.kind != "grpc-echo":
        outputs = [array.tolist() for _, array in v2_grpc.decode_reply(body).outputs]
        assert answers(json.dumps(outputs).encode(), workload.expected), f"{one.name} answers something else"


def _counted(workload: Workload, running: Running) -> tuple[int, int]:
    """Rows and runs so far, from V2's statistics."""
    with urllib.request.urlopen(running.url.removesuffix("infer") + "stats", timeout=30) as answer:
        stats = json.load(answer)["model_stats"][0]
    return stats["inference_count"], stats["execution_count"]


if __name__ == "__main__":
    main()
