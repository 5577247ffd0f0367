"""What sharing a script's host among workers saves and costs: memory, and /score in both ways.

`python benchmarks/script_hosts.py [--workers 4] [--megabytes 200] [--seconds 5]`. The script holds that much and
answers what it is sent. Compared with itself: a host for each worker, and one that all share by way of its keeper.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from measuring import free_port, gantline_serve, show, write, wrk

import gantline

SCRIPT = """
import os

def init():
    global weights
    weights = bytearray(os.urandom(1 << 20)) * {megabytes}

def run(data):
    return data
"""
CONNECTIONS = (1, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "score.py").write_text(SCRIPT.format(megabytes=args.megabytes))
        gantline.package(script=work / "score.py", name="heavy", output=work / "heavy.pkg")
        rows = [_row(kind, work, args) for kind in ("per-worker", "shared")]
    show("A script's hosts", list(rows[0]), [list(row.values()) for row in rows])
    command = f"python benchmarks/script_hosts.py --workers {args.workers} --megabytes {args.megabytes}"
    write("script_hosts", command, "itself, with a host for each worker", {"rows": rows})


def _row(kind: str, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with gantline_serve(
        work / "heavy.pkg", "--workers", str(args.workers), "--script-hosts", kind, port=port
    ) as server:
        server.answers(f"{url}/v2/health/ready")
        loads = {c: wrk(f"{url}/score", b"1", c, args.seconds, work) for c in CONNECTIONS}
        row: dict[str, Any] = {"hosts": kind, "processes": len(server.family()), "rss_mb": round(server.rss_mb(), 1)}
        for c, load in loads.items():
            row |= {f"c{c} requests/s": load.per_second, f"c{c} p50 ms": load.p50_ms, f"c{c} failed": load.failed}
    return row


if __name__ == "__main__":
    main()
