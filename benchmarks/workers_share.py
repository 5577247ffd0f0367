"""Two workers beside one: requests a second, start to ready, and memory, in one run on one machine.

`python benchmarks/workers_share.py [--workers 2] [--seconds 3] [--rounds 3]`. Servers take turns under wrk, which
shares the cores with them: where there are as many workers as cores, what the client takes is missing. Memory is
after the load: resident, and proportional (PSS: shared pages are divided among their processes), the supervisor's too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from iris_model import BODY, make_package
from measuring import Load, Process, free_port, show, write, wrk

CONNECTIONS = (32, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        package = make_package(work)
        starts = {n: [_start(package, n) for _ in range(args.rounds)] for n in (1, args.workers)}
        ports = {n: free_port() for n in starts}
        with _serve(package, 1, ports[1]) as one, _serve(package, args.workers, ports[args.workers]) as many:
            servers = {1: one, args.workers: many}
            loads: dict[tuple[int, int], list[Load]] = {}
            for n, server in servers.items():
                server.answers(f"http://127.0.0.1:{ports[n]}/v2/health/ready")
            before = _busy(many)
            for _ in range(args.rounds):
                for c in CONNECTIONS:
                    for n in servers:
                        url = f"http://127.0.0.1:{ports[n]}/v2/models/iris/infer"
                        loads.setdefault((n, c), []).append(wrk(url, BODY, c, args.seconds, work))
            spent = [after - start for after, start in zip(_busy(many), before, strict=True)]
            memory = {n: _memory(server) for n, server in servers.items()}
    rows = []
    for n in servers:
        row: dict[str, float | int] = {"workers": n, "ready_s": statistics.median(starts[n])}
        for c in CONNECTIONS:
            row[f"per_second_{c}"] = statistics.median(load.per_second for load in loads[n, c])
            row[f"p99_ms_{c}"] = statistics.median(load.p99_ms for load in loads[n, c])
            row[f"against_one_{c}"] = statistics.median(
                mine.per_second / alone.per_second for mine, alone in zip(loads[n, c], loads[1, c], strict=True)
            )
        row |= {"rss_mb": memory[n][0], "pss_mb": memory[n][1], "failed": sum(x.failed for _, x in _of(loads, n))}
        rows.append(row)
    columns = list(rows[0])
    show("Workers behind one listener (medians)", columns, [list(r.values()) for r in rows])
    share = max(spent) / sum(spent)
    sys.stdout.write(f"busiest worker's share of the CPU time: {share:.2f}\n")
    command = f"python benchmarks/workers_share.py --workers {args.workers} --rounds {args.rounds}"
    write("workers_share", command, "the same server with one worker", {"rows": rows, "busiest": share})


def _of(loads: dict[tuple[int, int], list[Load]], workers: int) -> list[tuple[int, Load]]:
    return [(c, load) for (n, c), found in loads.items() if n == workers for load in found]


def _serve(package: Path, workers: int, port: int) -> Process:
    words = ["serve", str(package), "--http-port", str(port), "--grpc-port", "0", "--workers", str(workers)]
    return Process([sys.executable, "-m", "gantline", *words])


def _start(package: Path, workers: int) -> float:
    """Seconds from the command to readiness."""
    port = free_port()
    with _serve(package, workers, port) as server:
        return server.answers(f"http://127.0.0.1:{port}/v2/health/ready")


def _tree(server: Process) -> list[int]:
    """The process and its children."""
    found = [server.pid]
    for children in Path(f"/proc/{server.pid}/task").glob("*/children"):
        found += map(int, children.read_text().split())
    return found


def _busy(server: Process) -> list[int]:
    """CPU time in ns of each worker."""
    tasks = (Path(f"/proc/{pid}/task").glob("*/schedstat") for pid in _tree(server)[1:])
    return [sum(int(task.read_text().split()[0]) for task in each) for each in tasks]


def _memory(server: Process) -> tuple[float, float]:
    """RSS and PSS of all processes together, in MB."""
    time.sleep(0.2)
    rss = pss = 0
    for pid in _tree(server):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Rss", "Pss"):
                size = int(rest.split()[0])
                rss, pss = (rss + size, pss) if name == "Rss" else (rss, pss + size)
    return rss / 1024, pss / 1024


if __name__ == "__main__":
    main()
