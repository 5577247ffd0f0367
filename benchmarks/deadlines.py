"""How late the answer to a late request leaves, while the server is saturated.

`python benchmarks/deadlines.py [--requests 1000]`. Two kinds of saturation: a model of a few ms a run, on a thread,
with more clients than it can serve; and one of microseconds, on the event loop, flooded by 64 connections. One client
asks with a deadline that will pass in the queue, or nearly; the lateness is what its 504 took beyond that deadline, by
the client's clock, so the client's own time and the loopback are in it. Beside it, in turn, the limit that the machine
sets: a process that does nothing but sleep as long and answer, under the same load. Wanted: 1 ms beyond the longest
inline slice (0.5 ms).
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from measuring import Load, Process, free_port, gantline_serve, show, write, wrk

h, tp = onnx.helper, onnx.TensorProto
TIMEOUT_MS = 3.0
FLOOD_S = 12.0
OCTETS = {"Content-Type": "application/octet-stream"}
SLEEPER = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    s, _ = server.accept()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while s.recv(1 << 16):
        time.sleep(float(sys.argv[2]))
        s.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = [
            _row("a thread, 32 clients", _heavy(work), 4096, 32, args.requests),
            _row("the loop, 64 clients", _light(work), 4, 64, args.requests),
        ]
    show("Lateness of 504 answers under saturation", tuple(rows[0]), [list(r.values()) for r in rows])
    command = f"python benchmarks/deadlines.py --requests {args.requests}"
    write("deadlines", command, "1 ms beyond the longest inline slice of 0.5 ms", {"rows": rows})


def _row(name: str, model: Path, columns: int, clients: int, requests: int) -> dict[str, Any]:
    port, idle = free_port(), free_port()
    with (
        gantline_serve(model, port=port) as server,
        Process([sys.executable, "-c", SLEEPER, str(idle), str(TIMEOUT_MS / 1e3)]),
    ):
        path = f"/v2/models/{model.stem}"
        server.answers(f"http://127.0.0.1:{port}{path}/ready")
        body, length = _body(columns)
        headers = {**OCTETS, "Inference-Header-Content-Length": str(length)}
        flood = _Flood(f"http://127.0.0.1:{port}{path}/infer", body, headers, clients, model.parent)
        late, floor, answered = _probe(port, idle, _post(f"{path}/infer", columns), requests, flood)
        per_second = flood.stop()
    return {
        "engine on": name,
        "answers/s beside": round(per_second, 1),
        "late": len(late),
        "in time": answered,
        **{f"p{p} ms": _quantile(late, p) for p in (50, 90, 99)},
        **{f"sleep p{p} ms": _quantile(floor, p) for p in (50, 90, 99)},
    }


def _quantile(values: list[float], percent: int) -> float:
    return round(sorted(values)[(len(values) - 1) * percent // 100], 3) if values else 0.0


def _probe(port: int, idle: int, message: bytes, requests: int, flood: _Flood) -> tuple[list[float], list[float], int]:
    late: list[float] = []
    floor: list[float] = []
    answered = 0
    with socket.create_connection(("127.0.0.1", port)) as s, socket.create_connection(("127.0.0.1", idle)) as plain:
        for one in (s, plain):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(requests):
            if not flood.lasts:
                break
            status, took = _timed(s, message)
            if status == 504:
                late.append(took - TIMEOUT_MS)
            else:
                answered += status == 200
            floor.append(_timed(plain, message)[1] - TIMEOUT_MS)
            time.sleep(0.003)
    return late, floor, answered


def _timed(s: socket.socket, message: bytes) -> tuple[int, float]:
    """The status of the answer, and the ms it took."""
    began = time.perf_counter()
    s.sendall(message)
    status = _read(s)
    return status, (time.perf_counter() - began) * 1e3


class _Flood:
    """wrk, whose clients send again as soon as they are answered: a process of its own, so that it holds up nobody."""

    def __init__(self, url: str, body: bytes, headers: dict[str, str], clients: int, work: Path) -> None:
        self._load: Load | None = None
        self._thread = threading.Thread(target=self._run, args=(url, body, clients, work, headers))
        self._thread.start()
        time.sleep(1.0)

    def _run(self, url: str, body: bytes, clients: int, work: Path, headers: dict[str, str]) -> None:
        self._load = wrk(url, body, clients, FLOOD_S, work, headers)

    @property
    def lasts(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> float:
        self._thread.join()
        assert self._load is not None, "wrk failed"
        return self._load.per_second


def _read(s: socket.socket) -> int:
    data = s.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += s.recv(1 << 16)
    return int(head.split(b" ", 2)[1])


def _body(columns: int) -> tuple[bytes, int]:
    """A row, and how much of it is JSON."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, columns], "parameters": {"binary_data_size": 4 * columns}}
    document = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return document + np.zeros(columns, "<f4").tobytes(), len(document)


def _post(path: str, columns: int) -> bytes:
    body, length = _body(columns)
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nx-gantline-timeout-ms: {TIMEOUT_MS}\r\n"
        f"inference-header-content-length: {length}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


def _heavy(work: Path) -> Path:
    """Two products with 4096 x 4096 matrices: memory-bound, milliseconds."""
    size = 4096
    weights = [h.make_tensor(f"w{i}", tp.FLOAT, [size, size], np.eye(size, dtype=np.float32).ravel()) for i in range(2)]
    nodes = [h.make_node("MatMul", ["x", "w0"], ["a"]), h.make_node("MatMul", ["a", "w1"], ["y"])]
    return _save(work / "heavy.onnx", nodes, size, weights)


def _light(work: Path) -> Path:
    return _save(work / "light.onnx", [h.make_node("Add", ["x", "x"], ["y"])], 4, [])


def _save(path: Path, nodes: list[Any], columns: int, weights: list[Any]) -> Path:
    x, y = (h.make_tensor_value_info(n, tp.FLOAT, ["N", columns]) for n in "xy")
    graph = h.make_graph(nodes, "g", [x], [y], weights)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path


if __name__ == "__main__":
    main()
