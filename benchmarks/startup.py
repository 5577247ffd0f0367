"""Start to first answer and resident memory with one ONNX model, beside MLServer and Azure ML's inference server.

`python benchmarks/startup.py [--rounds 5]`. Each server is started cold (its files in the page cache), asked until
it answers the first real request, and read for memory after a hundred more. Environments: scripts/rivals.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from iris_model import BODY, ROW, make_package
from measuring import ROOT, Process, free_port, gantline_serve, show, write

from gantline.packages import Package

sys.path.insert(0, str(ROOT / "scripts"))
import rivals

PEERS = ROOT / "benchmarks" / "peers"
AZURE_BODY = json.dumps({"data": [ROW]}).encode()
Started = tuple[Process, str, bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        package = make_package(work)
        model = Package.open(package).model_path
        starts: dict[str, Callable[[], Started]] = {
            "gantline": lambda: _gantline(package),
            "azureml-inference-server-http 1.5.1": lambda: _azure(model, work),
            "MLServer 1.7.1": lambda: _mlserver(model, work),
        }
        rows = [_row(name, start, args.rounds) for name, start in starts.items()]
    columns = ("server", "start to answer s", "processes", "RSS of the largest MB", "RSS in all MB")
    show("One ONNX model, from command to first answer (medians)", columns, [list(r.values()) for r in rows])
    write("startup", f"python benchmarks/startup.py --rounds {args.rounds}", "MLServer, Azure's server", {"rows": rows})


def _row(name: str, start: Callable[[], Started], rounds: int) -> dict[str, float | str | int]:
    seconds, memory = [], []
    for _ in range(rounds):
        server, url, body = start()
        with server:
            seconds.append(server.answers(url, body))
            for _ in range(100):
                request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
                with urllib.request.urlopen(request) as answer:
                    answer.read()
            memory.append(server.rss_by_process_mb())
    return {
        "server": name,
        "start_s": statistics.median(seconds),
        "processes": len(memory[-1]),
        "rss_largest_mb": statistics.median(m[0] for m in memory),
        "rss_sum_mb": statistics.median(sum(m) for m in memory),
    }


def _gantline(package: Path) -> Started:
    port = free_port()
    return gantline_serve(package, port=port), f"http://127.0.0.1:{port}/v2/models/iris/infer", BODY


def _azure(model: Path, work: Path) -> Started:
    port = free_port()
    folder = work / "azure-model"
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(model.read_bytes())
    server = rivals.ensure("azureml-server").parent / "azmlinfsrv"
    command: list[str | Path] = [server, "--entry_script", PEERS / "azure_score.py", "--model_dir", folder]
    command += ["--port", str(port)]
    return Process(command), f"http://127.0.0.1:{port}/score", AZURE_BODY


def _mlserver(model: Path, work: Path) -> Started:
    http, grpc, metrics = free_port(), free_port(), free_port()
    folder = work / "mlserver"
    folder.mkdir(exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps({"name": "iris", "implementation": "mlserver_onnx.Onnx"}))
    server = rivals.ensure("mlserver").parent / "mlserver"
    process = Process([server, "start", folder], ONNX=str(model), PYTHONPATH=str(PEERS))
    return process, f"http://127.0.0.1:{http}/v2/models/iris/infer", BODY


if __name__ == "__main__":
    main()
