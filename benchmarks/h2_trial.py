"""The trial of the h2 front over the null engine: does zttp, as we hold it, lose a call, memory, or the process?

`python benchmarks/h2_trial.py [--requests 10000000] [--fuzz 3600] [--only STAGE ...]`. One worker. A stage is a client
in a process of its own (h2_stages: tritonclient, grpc.aio and raw frames; h2load), or malformed input (h2_fuzz).
Wanted: no call lost, no answer wrong, memory that comes back, a server that goes on. Each stage's figures replace those
in the results; what was not run stays.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from h2_fuzz import fuzz
from h2_stages import ROW, SERVICE, STAGES, WIDE
from measuring import RESULTS, ROOT, Process, free_port, show, write

from gantline.manifest import Manifest
from gantline.packages import seal
from gantline.signature import Signature, TensorSpec

BURST = 13_600  # requests: h2load does not connect again, and a connection is rotated at 3,500
MARKS = (100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--fuzz", type=float, default=3600, help="seconds, for zttp alone and for the server each")
    parser.add_argument("--only", nargs="+", choices=[*STAGES, "millions", "fuzz_zttp", "fuzz_server"], default=None)
    args = parser.parse_args()
    stages: dict[str, Callable[[int, Process], dict[str, Any]]] = {
        **{name: _client(name) for name in STAGES if name != "drain"},
        "drain": _drain,
        "millions": lambda port, server: millions(port, server, args.requests),
        "fuzz_zttp": lambda port, server: fuzz("zttp", 1, args.fuzz),
        "fuzz_server": lambda port, server: fuzz(str(port), 1, args.fuzz),
    }
    with tempfile.TemporaryDirectory() as folder:
        packages = [make_null(Path(folder) / "null", 1), make_null(Path(folder) / "wide", WIDE)]
        for name in args.only or stages:
            keep(name, run(stages[name], packages))
    columns = ("calls", "lost", "rss_mb_after", "seconds")
    show("The trial of the h2 front", ("stage", *columns), [[n, *map(f.get, columns)] for n, f in known().items()])


def known() -> dict[str, Any]:
    """What the stages found when they were last run."""
    results = RESULTS / "h2_trial.json"
    found: dict[str, Any] = json.loads(results.read_text())["stages"] if results.exists() else {}
    return found


def keep(name: str, found: dict[str, Any]) -> None:
    """Write one stage's figures among those of the others."""
    found["on"] = time.strftime("%Y-%m-%d")
    sys.stdout.write(f"{name}: {json.dumps(found)}\n")
    write("h2_trial", "python benchmarks/h2_trial.py", "what must not happen", {"stages": {**known(), name: found}})


def make_null(folder: Path, columns: int) -> Path:
    """A package that computes nothing and answers so many zeros a row."""
    folder.mkdir()
    signature = Signature((TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, columns)),))
    seal(folder, Manifest(name=folder.name, engine="null", signature=signature), {})
    return folder


def run(stage: Callable[[int, Process], dict[str, Any]], packages: list[Path]) -> dict[str, Any]:
    """One stage on a server of its own."""
    port = free_port()
    flags = ["--front", "h2", "--http-port", port, "--max-body-bytes", "256MiB", "--drain-s", "1", "--no-access-log"]
    command = [sys.executable, "-m", "gantline", "serve", *packages, *flags]
    with Process([str(word) for word in command]) as server:
        server.answers(f"http://127.0.0.1:{port}/v2/health/ready")
        before, began = server.rss_mb(), time.perf_counter()
        figures = stage(port, server)
        took = time.perf_counter() - began
        time.sleep(2)  # what clients left behind may still be computing
        after = {} if "exit" in figures else {"rss_mb_after": server.rss_mb()}
        return {**figures, "seconds": round(took, 1), "rss_mb_before": before, **after}


def _client(name: str) -> Callable[[int, Process], dict[str, Any]]:
    def ask(port: int, _: Process) -> dict[str, Any]:
        command = [sys.executable, str(ROOT / "benchmarks" / "h2_stages.py"), name, str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return ask


def _drain(port: int, server: Process) -> dict[str, Any]:
    """SIGTERM after five seconds of load; the server must have ended well."""
    stop = threading.Timer(5, server.terminate)
    stop.start()
    found = _client("drain")(port, server)
    stop.join()
    return {**found, "exit": server.wait()}


def millions(port: int, server: Process, requests: int) -> dict[str, Any]:
    """h2load's ModelInfer, in bursts; the server's own count must agree. Memory at marks on the way."""
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is not installed; Debian has it: apt-get install nghttp2-client")
    done = failed = 0
    marks: dict[int, float] = {}
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0" + struct.pack(">I", len(ROW)) + ROW)
        body.flush()
        command = [
            "h2load",
            "-c4",
            "-m16",
            "-d",
            body.name,
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
        ]
        while done + failed < requests:
            count = min(BURST, requests - done - failed)
            url = f"http://127.0.0.1:{port}{SERVICE}ModelInfer"
            out = subprocess.run([*command, "-n", str(count), url], capture_output=True, text=True, check=True).stdout
            succeeded = re.search(r"(\d+) succeeded", out)
            right = int(succeeded[1]) if succeeded else 0
            done, failed = done + right, failed + count - right
            marks |= {mark: server.rss_mb() for mark in MARKS if done >= mark and mark not in marks}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/null/stats") as answer:
        counted = json.load(answer)["model_stats"][0]["inference_stats"]["success"]["count"]
    return {"calls": requests, "lost": requests - min(done, counted), "counted": counted, "rss_mb_at": marks}


if __name__ == "__main__":
    main()
