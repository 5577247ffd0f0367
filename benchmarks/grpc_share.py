"""ModelInfer over the grpcio front, as a share of a raw grpc.aio echo of the same bytes in the same run.

`python benchmarks/grpc_share.py [--seconds 3] [--rounds 5]`. One process each; h2load (4 connections of 16 streams)
shares the machine with them. Servers take turns; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from socket import create_connection

import numpy as np
from iris_model import ROW, make_package
from measuring import ROOT, Process, free_port, show, write

from gantline.manifest import Manifest
from gantline.packages import Package, seal
from gantline.request import Request
from gantline.wire.v2_grpc import encode_request

WANTED = 0.5
METHOD = "inference.GRPCInferenceService/ModelInfer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        models = make_package(work), make_null(work)
        bodies = {name: request(work, name) for name in ("iris", "null")}
        http, ours, echo = free_port(), free_port(), free_port()
        command = [sys.executable, "-m", "gantline", "serve", *map(str, models)]
        with (
            Process([*command, "--http-port", str(http), "--grpc-port", str(ours)]) as server,
            Process([sys.executable, ROOT / "benchmarks" / "grpc_echo.py", str(echo)]),
        ):
            server.answers(f"http://127.0.0.1:{http}/v2/health/ready")
            wait_for(echo)
            loads: dict[str, list[tuple[float, float]]] = {name: [] for name in bodies}
            for turn in range(args.rounds + 1):
                for name, body in bodies.items():
                    pair = h2load(ours, body, args.seconds), h2load(echo, body, args.seconds)
                    if turn:  # the first warms both up
                        loads[name].append(pair)
    rows = [row_of(name, pairs) for name, pairs in loads.items()]
    columns = ("model", "gantline req/s", "echo req/s", "share", "wanted")
    title = "One-row ModelInfer over grpcio against a raw grpc.aio echo (medians)"
    show(title, columns, [list(r.values()) for r in rows])
    command_line = f"python benchmarks/grpc_share.py --seconds {args.seconds:g} --rounds {args.rounds}"
    write("grpc_share", command_line, "raw grpc.aio echo, one process", {"rows": rows})


def make_null(folder: Path) -> Path:
    """A package of the engine that computes nothing, with iris's signature."""
    manifest = Package.open(folder / "iris.pkg").manifest
    root = folder / "null.pkg"
    root.mkdir()
    seal(root, Manifest("null", "null", signature=manifest.signature, batching=manifest.batching), {})
    return root


def request(folder: Path, model: str) -> Path:
    """A file with a ModelInferRequest as gRPC frames it: five bytes, and the message."""
    message = encode_request(Request({"X": np.array([ROW], np.float32)}, model))
    path = folder / f"{model}.bin"
    path.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    return path


def h2load(port: int, body: Path, seconds: float) -> float:
    """Answers a second. SystemExit for a run with failures."""
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is not installed; Debian has it: apt-get install nghttp2-client")
    command = ["h2load", "-c4", "-m16", f"-D{seconds:g}", "-d", str(body), "-H", "content-type: application/grpc"]
    url = f"http://127.0.0.1:{port}/{METHOD}"
    out = subprocess.run([*command, "-H", "te: trailers", url], capture_output=True, text=True, check=True).stdout
    failed = re.search(r"(\d+) failed, (\d+) errored", out)
    per_second = re.search(r"finished in .*?, ([\d.]+) req/s", out)
    if failed is None or per_second is None or failed.groups() != ("0", "0"):
        raise SystemExit(f"h2load: {out[-600:]}")
    return float(per_second[1])


def wait_for(port: int) -> None:
    """Until somebody listens."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with suppress(OSError), create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"nobody listens on port {port}")


def row_of(name: str, pairs: list[tuple[float, float]]) -> dict[str, object]:
    return {
        "model": name,
        "gantline_per_s": statistics.median(a for a, _ in pairs),
        "echo_per_s": statistics.median(b for _, b in pairs),
        "share": statistics.median(a / b for a, b in pairs),
        "wanted": WANTED,
    }


if __name__ == "__main__":
    main()
