"""Each face beside V2: the same model, the same row, one server, turns in the order V2, face, face, V2.

`python benchmarks/faces.py [--seconds 5] [--rounds 5]`. One worker; wrk shares the machine with it. A figure is the
median of the rounds' ratios; processor time counts the server alone, and depends less on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from iris_model import BODY, ROW, make_package
from measuring import JSON, Load, Process, free_port, gantline_serve, show, write, wrk

WANTED = 0.85  # of V2's rate at 32 connections
CONNECTIONS = (1, 32)
V2 = "V2"
# name: path and body; those that this server does not answer are left out
FACES: dict[str, tuple[str, bytes]] = {
    V2: ("/v2/models/iris/infer", BODY),
    "V1 rows": ("/v1/models/iris:predict", json.dumps({"instances": [ROW]}).encode()),
    "V1 columns": ("/v1/models/iris:predict", json.dumps({"inputs": [ROW]}).encode()),
    "MLflow": ("/invocations", json.dumps({"inputs": [ROW]}).encode()),
}
Turn = tuple[Load, float]  # and the server's processor time for a request, in us


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work, port = Path(folder), free_port()
        with gantline_serve(make_package(work), port=port) as server:
            base = f"http://127.0.0.1:{port}"
            server.answers(base + FACES[V2][0], BODY)
            there = [name for name, (path, body) in FACES.items() if answers(base + path, body)]

            def turn(name: str, connections: int) -> Turn:
                path, body = FACES[name]
                return measured(server, base + path, body, connections, args.seconds, work)

            turn(V2, 32)
            turns: dict[tuple[str, int], list[tuple[Turn, ...]]] = {}
            for _ in range(args.rounds):
                for c in CONNECTIONS:
                    for name in there[1:]:
                        four = turn(V2, c), turn(name, c), turn(name, c), turn(V2, c)
                        turns.setdefault((name, c), []).append(four)
    rows = [row_of(name, c, found) for (name, c), found in turns.items()]
    columns = ("face", "connections", "req/s", "V2 req/s", "share", "p50 ms", "V2 p50", "CPU us", "V2 CPU", "failed")
    show(f"One row by each face beside V2 (wanted: {WANTED} at 32)", columns, [list(r.values()) for r in rows])
    sys.stdout.write("left out: " + (", ".join(sorted(set(FACES) - set(there))) or "none") + "\n")
    command = f"python benchmarks/faces.py --seconds {args.seconds:g} --rounds {args.rounds}"
    write("faces", command, "V2 JSON on the same server and model", {"wanted": WANTED, "rows": rows})


def answers(url: str, body: bytes) -> bool:
    """Whether this server answers a face at all."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, dict(JSON)), timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as e:
        e.close()
        return False


def measured(server: Process, url: str, body: bytes, connections: int, seconds: float, work: Path) -> Turn:
    """One run, with the server's processor time for a request."""
    before = server.cpu_ns()
    load = wrk(url, body, connections, seconds, work)
    return load, (server.cpu_ns() - before) / 1e3 / max(load.requests, 1)


def row_of(name: str, connections: int, rounds: list[tuple[Turn, ...]]) -> dict[str, str | float]:
    """A face's medians beside V2's."""
    middle = statistics.median
    v2 = [t for four in rounds for t in (four[0], four[3])]
    own = [t for four in rounds for t in four[1:3]]
    return {
        "face": name,
        "connections": connections,
        "per_second": middle(t[0].per_second for t in own),
        "v2_per_second": middle(t[0].per_second for t in v2),
        "share": middle(
            (b.per_second + c.per_second) / (a.per_second + d.per_second) for (a, _), (b, _), (c, _), (d, _) in rounds
        ),
        "p50_ms": middle(t[0].p50_ms for t in own),
        "v2_p50_ms": middle(t[0].p50_ms for t in v2),
        "cpu_us": middle(t[1] for t in own),
        "v2_cpu_us": middle(t[1] for t in v2),
        "failed": sum(t[0].failed for t in own),
    }


if __name__ == "__main__":
    main()
