"""gRPC ModelInfer of the iris model through the whole stack: the h2 front and the grpcio front beside a bare echo.

`python benchmarks/h2_share.py [--rounds 7]`. The echo is a grpc.aio server that returns the bytes it is sent, and does
nothing else; one process each. h2load shares the machine with them, in bursts, since it does not connect again when a
connection is rotated; servers take turns, and the figure is the median of the rounds' ratios. Processor time a request
is told too, because it says the same on a machine that is busy with something else.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from iris_model import ROW, make_package
from measuring import Process, free_port, show, write

from gantline.request import Request
from gantline.wire.v2_grpc import encode_request

INFER = "/inference.GRPCInferenceService/ModelInfer"
BURST = 3400  # requests for each connection: one is rotated at 3,500
LOADS = ((1, 1), (1, 16), (4, 16))  # connections, calls at once on each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--echo", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.echo:
        asyncio.run(echo(args.echo))
        return
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is not installed; Debian has it: apt-get install nghttp2-client")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        package = make_package(work)
        message = encode_request(Request({"X": np.array([ROW], np.float32)}, "iris"))
        body = work / "body"
        body.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
        h2, http, grpcio, bare = (free_port() for _ in range(4))
        serve = [sys.executable, "-m", "gantline", "serve", str(package)]
        with (
            Process([*serve, "--front", "h2", "--http-port", str(h2)]) as first,
            Process([*serve, "--http-port", str(http), "--grpc-port", str(grpcio)]) as second,
            Process([sys.executable, __file__, "--echo", str(bare)]) as third,
        ):
            for process, port in ((first, h2), (second, http)):
                process.answers(f"http://127.0.0.1:{port}/v2/health/ready")
            servers = {"h2": (first, h2), "grpcio": (second, grpcio), "echo": (third, bare)}
            for _, port in servers.values():
                burst(port, 4, 16, body)
            found: dict[tuple[int, int], list[dict[str, float]]] = {load: [] for load in LOADS}
            for _ in range(args.rounds):
                for load, rounds in found.items():
                    one: dict[str, float] = {}
                    for name, (process, port) in servers.items():
                        before = process.cpu_s()
                        one[name] = burst(port, *load, body)
                        one[f"{name}_us"] = (process.cpu_s() - before) * 1e6 / (BURST * load[0])
                    rounds.append(one)
    rows = [row_of(load, rounds) for load, rounds in found.items()]
    show("gRPC ModelInfer, iris, requests/s (medians)", list(rows[0]), [list(row.values()) for row in rows])
    command = f"python benchmarks/h2_share.py --rounds {args.rounds}"
    write("h2_share", command, "a grpc.aio server that echoes raw bytes, one process", {"rows": rows})


def row_of(load: tuple[int, int], rounds: list[dict[str, float]]) -> dict[str, float]:
    middle = statistics.median
    return {
        "connections": load[0],
        "at_once": load[1],
        **{f"{name}_per_s": middle(r[name] for r in rounds) for name in ("h2", "grpcio", "echo")},
        **{f"{name}_cpu_us": middle(r[f"{name}_us"] for r in rounds) for name in ("h2", "grpcio", "echo")},
        "h2_share": middle(r["h2"] / r["echo"] for r in rounds),
        "grpcio_share": middle(r["grpcio"] / r["echo"] for r in rounds),
        "h2_to_grpcio": middle(r["h2"] / r["grpcio"] for r in rounds),
    }


def burst(port: int, connections: int, at_once: int, body: Path) -> float:
    """Requests a second; SystemExit if one fails."""
    count = BURST * connections
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    command = ["h2load", f"-n{count}", f"-c{connections}", f"-m{at_once}", "-d", str(body), *headers]
    command.append(f"http://127.0.0.1:{port}{INFER}")
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if f"{count} succeeded" not in out:
        raise SystemExit(out)
    rate = re.search(r"([\d.]+) req/s", out)
    assert rate is not None
    return float(rate[1])


async def echo(port: int) -> None:
    """A gRPC server that sends back what it is sent."""

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio ships no types
        def service(self, handler_call_details: Any) -> Any:
            async def answer(data: bytes, context: Any) -> bytes:
                return data

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    main()
