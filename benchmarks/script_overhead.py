"""What a scoring script costs behind its host: latency added to run(), and /score beside Azure ML's own server.

`python benchmarks/script_overhead.py [--seconds 5] [--rounds 3]`. The same iris script with onnxruntime everywhere:
called directly; through the host alone, from an event loop as the server does; then over HTTP, ours (a server and a
host: two processes) and azureml-inference-server-http (a master and its workers). Environments: scripts/rivals.py.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from types import ModuleType

import uvloop
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.engine import ScriptEngine, load
from gantline.accelerators.script.link import Call
from gantline.accelerators.script.ring import Message
from iris_model import ROW, make_package
from measuring import ROOT, Load, Process, free_port, gantline_serve, show, write, wrk

import gantline
from gantline.packages import Package

sys.path.insert(0, str(ROOT / "scripts"))
import rivals

SCRIPT = ROOT / "benchmarks" / "peers" / "azure_score.py"
BODY = json.dumps({"data": [ROW]}).encode()
CALLS = 5000
THEIRS = "azureml-inference-server-http 1.5.1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        models = work / "models"
        models.mkdir()
        (models / "model.onnx").write_bytes(Package.open(make_package(work)).model_path.read_bytes())
        package = gantline.package(script=SCRIPT, model_dir=models, name="iris-script", output=work / "script.pkg")
        latency = _latency(package, models, args.rounds)
        served = _served(work / "script.pkg", models, work, args)
    show("One call of run() (medians of rounds, us)", list(latency), [list(latency.values())])
    rows = [[name, c, load.per_second, load.p50_ms, load.p99_ms, load.failed] for name, c, load in served]
    show("/score", ("server", "connections", "requests/s", "p50 ms", "p99 ms", "failed"), rows)
    best = {(name, c): load.per_second for name, c, load in served}
    ratio = best["gantline", 32] / best[f"{THEIRS}, 1 worker", 32]
    sys.stdout.write(f"32 connections: {ratio:.1f} x {THEIRS} with one worker\n")
    figures = {
        "latency_us": latency,
        "added_p50_ms": latency["added p50"] / 1000,
        "score": [
            {"server": n, "connections": c, **{f: getattr(load, f) for f in load.__slots__}} for n, c, load in served
        ],
        "ratio_at_32": ratio,
    }
    command = f"python benchmarks/script_overhead.py --seconds {args.seconds:g} --rounds {args.rounds}"
    write("script_overhead", command, f"a direct call of run(); {THEIRS}", figures)


def _latency(package: Package, models: Path, rounds: int) -> dict[str, float]:
    os.environ["AZUREML_MODEL_DIR"] = str(models)
    module = _module()
    module.init()
    engine = load(package, EngineOptions())
    try:
        direct = [_direct(module.run) for _ in range(rounds)]
        hosted = [uvloop.run(_hosted(engine)) for _ in range(rounds)]
        blocking = [_blocking(engine) for _ in range(rounds)]
    finally:
        engine.close()
    p50, p50_host = (statistics.median(r[0] for r in rs) for rs in (direct, hosted))
    return {
        "direct p50": p50,
        "direct p99": statistics.median(r[1] for r in direct),
        "host p50": p50_host,
        "host p99": statistics.median(r[1] for r in hosted),
        "added p50": p50_host - p50,
        "added p50, Engine.run()": statistics.median(r[0] for r in blocking) - p50,
    }


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("azure_score", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _direct(run: Callable[[str], object]) -> tuple[float, float]:
    """What the host does for a request, without the host: text in, JSON out."""
    times = []
    for _ in range(CALLS):
        before = perf_counter_ns()
        json.dumps(run(BODY.decode())).encode()
        times.append(perf_counter_ns() - before)
    return _percentiles(times)


async def _hosted(engine: ScriptEngine) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    engine.host.attach(loop)
    times: list[int] = []
    done = loop.create_future()

    def one() -> None:
        before = perf_counter_ns()

        def deliver(message: Message) -> None:
            assert message.status == 200
            times.append(perf_counter_ns() - before)
            if len(times) < CALLS:
                loop.call_soon(one)
            else:
                done.set_result(None)

        engine.host.submit(Call(ch.SCORE, BODY, deliver))

    one()
    await done
    engine.host.detach()
    return _percentiles(times)


def _blocking(engine: ScriptEngine) -> tuple[float, float]:
    import numpy as np

    data = {"data": np.array([BODY], object)}
    times = []
    for _ in range(CALLS):
        before = perf_counter_ns()
        engine.run(data, ["result"])
        times.append(perf_counter_ns() - before)
    return _percentiles(times)


def _percentiles(times: list[int]) -> tuple[float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2] / 1000, ordered[len(ordered) * 99 // 100] / 1000


def _served(package: Path, models: Path, work: Path, args: argparse.Namespace) -> list[tuple[str, int, Load]]:
    out = []
    servers: dict[str, Callable[[], tuple[Process, str]]] = {
        "gantline": lambda: _ours(package),
        f"{THEIRS}, 1 worker": lambda: _theirs(models, 1),
        f"{THEIRS}, 2 workers": lambda: _theirs(models, 2),
    }
    for name, start in servers.items():
        server, url = start()
        with server:
            server.answers(url, BODY)
            wrk(url, BODY, 8, 1, work)  # warm
            out += [(name, c, wrk(url, BODY, c, args.seconds, work)) for c in (1, 32)]
    return out


def _ours(package: Path) -> tuple[Process, str]:
    port = free_port()
    return gantline_serve(package, port=port), f"http://127.0.0.1:{port}/score"


def _theirs(models: Path, workers: int) -> tuple[Process, str]:
    port = free_port()
    server = rivals.ensure("azureml-server").parent / "azmlinfsrv"
    command = [str(server), "--entry_script", str(SCRIPT), "--model_dir", str(models), "--port", str(port)]
    return Process([*command, "--worker_count", str(workers)]), f"http://127.0.0.1:{port}/score"


if __name__ == "__main__":
    main()
