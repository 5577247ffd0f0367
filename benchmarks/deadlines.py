"""How late the answer to a late request leaves, while the server is saturated.

`python benchmarks/deadlines.py [--requests 400]`. Two kinds of saturation: a model of a few ms a run, on a thread, with
more clients than it can serve; and one of microseconds, on the event loop, flooded by 64 connections. One client asks
with a deadline that will pass in the queue, or nearly; the lateness is what its 504 took beyond that deadline, by the
client's clock, so the client's own time and the loopback are in it. Wanted: 1 ms beyond the longest inline slice
(0.5 ms).
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from measuring import free_port, gantline_serve, show, write

h, tp = onnx.helper, onnx.TensorProto
TIMEOUT_MS = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400)
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
    port = free_port()
    with gantline_serve(model, port=port) as server:
        path = f"/v2/models/{model.stem}"
        server.answers(f"http://127.0.0.1:{port}{path}/ready")
        flood = _Flood(port, _post(f"{path}/infer", columns), clients)
        late, answered = _probe(port, _post(f"{path}/infer", columns, TIMEOUT_MS), requests)
        per_second = flood.stop()
    late.sort()
    return {
        "engine on": name,
        "answers/s beside": round(per_second, 1),
        "asked": requests,
        "late": len(late),
        "in time": answered,
        "p50 ms": round(statistics.median(late), 3) if late else 0.0,
        "p99 ms": round(late[int(0.99 * (len(late) - 1))], 3) if late else 0.0,
        "max ms": round(late[-1], 3) if late else 0.0,
    }


def _probe(port: int, message: bytes, requests: int) -> tuple[list[float], int]:
    late, answered = [], 0
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(requests):
            began = time.perf_counter()
            s.sendall(message)
            status = _read(s)
            took = (time.perf_counter() - began) * 1e3
            if status == 504:
                late.append(took - TIMEOUT_MS)
            else:
                answered += status == 200
            time.sleep(0.005)
    return late, answered


class _Flood:
    """Clients that send again as soon as they are answered."""

    def __init__(self, port: int, message: bytes, clients: int) -> None:
        self._stop = threading.Event()
        self._count = 0
        self._began = time.perf_counter()
        self._threads = [threading.Thread(target=self._client, args=(port, message)) for _ in range(clients)]
        for one in self._threads:
            one.start()
        time.sleep(0.5)

    def _client(self, port: int, message: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port)) as s:
            while not self._stop.is_set():
                s.sendall(message)
                _read(s)
                self._count += 1

    def stop(self) -> float:
        self._stop.set()
        for one in self._threads:
            one.join()
        return self._count / (time.perf_counter() - self._began)


def _read(s: socket.socket) -> int:
    data = s.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += s.recv(1 << 16)
    return int(head.split(b" ", 2)[1])


def _post(path: str, columns: int, timeout_ms: float = 0.0) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, columns], "parameters": {"binary_data_size": 4 * columns}}
    document = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    body = document + np.zeros(columns, "<f4").tobytes()
    extra = f"x-gantline-timeout-ms: {timeout_ms}\r\n" if timeout_ms else ""
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\n{extra}inference-header-content-length: {len(document)}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
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
