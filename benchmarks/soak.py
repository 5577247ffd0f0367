"""Resident memory after many requests: after the first hundred thousand and after all of them.

`python benchmarks/soak.py [--requests 10000000] [--connections 32]`. One-row V2 JSON requests, wrk, one
server. What grows with the number of requests shows; a run of ten million takes ten minutes or so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from iris_model import BODY, make_package
from measuring import free_port, gantline_serve, show, write, wrk

FIRST = 100_000
WANTED = 1.05  # times the memory after the first ones
SLICE_S = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--connections", type=int, default=32)
    args = parser.parse_args()
    seen: list[tuple[int, float]] = []  # requests answered, MB
    failed = answered = 0
    with tempfile.TemporaryDirectory() as folder:
        work, port = Path(folder), free_port()
        package = make_package(work)
        with gantline_serve(package, port=port) as server:
            url = f"http://127.0.0.1:{port}/v2/models/iris/infer"
            server.answers(url, BODY)
            rate = FIRST / SLICE_S
            while answered < args.requests:
                target = args.requests if seen else FIRST
                # as long as what is missing takes, but never so long that nothing is seen
                load = wrk(url, BODY, args.connections, min(SLICE_S, max(0.5, (target - answered) / rate)), work)
                answered, failed, rate = answered + load.requests, failed + load.failed, max(load.per_second, 1.0)
                if answered >= FIRST:
                    seen.append((answered, server.rss_mb()))
                    sys.stdout.write(f"\r{answered:,} requests, {seen[-1][1]:.1f} MB ")
                    sys.stdout.flush()
    sys.stdout.write("\n")
    first, last = seen[0], seen[-1]
    row: dict[str, object] = {
        "requests": last[0],
        "rss_mb_after_first": first[1],
        "after_requests": first[0],
        "rss_mb_after_all": last[1],
        "ratio": last[1] / first[1],
        "wanted": WANTED,
        "failed": failed,
    }
    show("Resident memory of a server under requests", list(row), [list(row.values())])
    command = f"python benchmarks/soak.py --requests {args.requests} --connections {args.connections}"
    largest = max(mb for _, mb in seen)
    write("soak", command, "itself after the first hundred thousand", {"row": row, "largest_mb": largest})


if __name__ == "__main__":
    main()
