"""An Azure scoring script over /score at 32 connections, as a multiple of azureml-inference-server-http.

`python benchmarks/azure_share.py [--seconds 5] [--rounds 3]`. The same script file (benchmarks/peers/azure_score.py,
onnxruntime on iris) in both. Ours is two processes (server and script host), so theirs is measured with one worker
and with two. Environments: scripts/rivals.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from iris_model import ROW, make_package
from measuring import ROOT, Load, Process, free_port, gantline_serve, show, write, wrk

import gantline
from gantline.packages import Package

sys.path.insert(0, str(ROOT / "scripts"))
import rivals

PEERS = ROOT / "benchmarks" / "peers"
BODY = json.dumps({"data": [ROW]}).encode()
CONNECTIONS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    loads: dict[str, list[Load]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        models = work / "models"
        models.mkdir()
        (models / "model.onnx").write_bytes(Package.open(make_package(work)).model_path.read_bytes())
        script: dict[str, Any] = {"script": "azure_score.py", "code": PEERS, "model_dir": models, "env": "current"}
        package = gantline.package(None, name="iris-azure", output=work / "azure.pkg", **script)
        port = free_port()
        servers = {"gantline": (gantline_serve(package.path, port=port), port)}
        for workers in (1, 2):
            port = free_port()
            binary = rivals.ensure("azureml-server").parent / "azmlinfsrv"
            command: list[str | Path] = [binary, "--entry_script", PEERS / "azure_score.py", "--model_dir", models]
            command += ["--port", str(port)]
            servers[f"azureml 1.5.1, {workers} worker"] = (Process(command, WORKER_COUNT=str(workers)), port)
        for server, port in servers.values():
            stack.enter_context(server).answers(f"http://127.0.0.1:{port}/score", BODY)
        for _ in range(args.rounds):
            for name, (_, port) in servers.items():
                load = wrk(f"http://127.0.0.1:{port}/score", BODY, CONNECTIONS, args.seconds, work)
                loads.setdefault(name, []).append(load)
    ours = loads["gantline"]
    rows: list[dict[str, object]] = []
    for name, theirs in loads.items():
        share = statistics.median(a.per_second / b.per_second for a, b in zip(ours, theirs, strict=True))
        rows.append(
            {
                "server": name,
                "per_s": statistics.median(b.per_second for b in theirs),
                "p50_ms": statistics.median(b.p50_ms for b in theirs),
                "p99_ms": statistics.median(b.p99_ms for b in theirs),
                "gantline_is_times": share,
                "failed": sum(b.failed for b in theirs),
            }
        )
    columns = ("server", "req/s", "p50 ms", "p99 ms", "gantline is x times", "failed")
    show(
        f"An Azure script over /score at {CONNECTIONS} connections (medians)", columns, [list(r.values()) for r in rows]
    )
    typed = f"python benchmarks/azure_share.py --seconds {args.seconds:g} --rounds {args.rounds}"
    write("azure_share", typed, "azureml-inference-server-http 1.5.1", {"connections": CONNECTIONS, "rows": rows})


if __name__ == "__main__":
    main()
