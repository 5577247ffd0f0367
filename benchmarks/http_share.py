"""One-row V2 JSON requests, every check on, as a share of a uvicorn echo of the same body in the same run.

`python benchmarks/http_share.py [--seconds 5] [--rounds 5]`. One worker each; wrk shares the machine with them.
Servers take turns, so that both meet the same disturbances; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gantline.accelerators.session import Session
from iris_model import BODY, ROW, make_package
from measuring import ROOT, Load, Process, free_port, gantline_serve, show, write, wrk

from gantline.packages import Package

WANTED = {1: 0.70, 32: 0.95, 64: 0.95}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        package = make_package(work)
        raw = raw_runs(package)
        ours, echo = free_port(), free_port()
        with (
            gantline_serve(package, port=ours) as server,
            Process([sys.executable, ROOT / "benchmarks" / "echo_server.py", str(echo)]) as plain,
        ):
            infer, bare = f"http://127.0.0.1:{ours}/v2/models/iris/infer", f"http://127.0.0.1:{echo}/"
            server.answers(infer, BODY)
            plain.answers(bare, BODY)
            for url in (infer, bare):
                wrk(url, BODY, 32, 1, work)
            loads: dict[int, list[tuple[Load, Load]]] = {c: [] for c in WANTED}
            for _ in range(args.rounds):
                for c, pairs in loads.items():
                    pairs.append((wrk(infer, BODY, c, args.seconds, work), wrk(bare, BODY, c, args.seconds, work)))
    rows = [row_of(c, pairs) for c, pairs in loads.items()]
    columns = (
        "connections",
        "gantline req/s",
        "echo req/s",
        "share",
        "wanted",
        "p50 ms",
        "p99 ms",
        "echo p50",
        "failed",
    )
    show("One-row V2 JSON against a raw-ASGI echo (medians)", columns, [list(r.values()) for r in rows])
    sys.stdout.write(f"raw session.run, one row, no server: {raw:,.0f} runs/s\n")
    command = f"python benchmarks/http_share.py --seconds {args.seconds:g} --rounds {args.rounds}"
    write(
        "http_share", command, "plain uvicorn raw-ASGI echo, one worker", {"raw_session_run_per_s": raw, "rows": rows}
    )


def row_of(connections: int, pairs: list[tuple[Load, Load]]) -> dict[str, float]:
    middle = statistics.median
    return {
        "connections": connections,
        "gantline_per_s": middle(a.per_second for a, _ in pairs),
        "echo_per_s": middle(b.per_second for _, b in pairs),
        "share": middle(a.per_second / b.per_second for a, b in pairs),
        "wanted": WANTED[connections],
        "p50_ms": middle(a.p50_ms for a, _ in pairs),
        "p99_ms": middle(a.p99_ms for a, _ in pairs),
        "echo_p50_ms": middle(b.p50_ms for _, b in pairs),
        "failed": sum(a.failed for a, _ in pairs),
    }


def raw_runs(package: Path, seconds: float = 2.0) -> float:
    """How often a session alone runs one row, in a second."""
    session = Session.open(Package.open(package))
    feed = {"X": np.array([ROW], np.float32)}
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        session.run(feed)
        count += 1
    session.close()
    return count / seconds


if __name__ == "__main__":
    main()
