"""A real server with small real models, and one whose answers are scripted byte for byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """double: y = x + x on [N,3]; columns: age FP32 [N,1] and city BYTES [N,1] -> both back."""
    onnx = pytest.importorskip("onnx")
    root = tmp_path_factory.mktemp("models")
    h, float32, text = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.STRING
    info = h.make_tensor_value_info

    def save(name: str, nodes: list[object], inputs: list[object], outputs: list[object]) -> None:
        graph = h.make_graph(nodes, name, inputs, outputs)
        onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), root / f"{name}.onnx")

    add = h.make_node("Add", ["x", "x"], ["y"])
    save("double", [add], [info("x", float32, ["N", 3])], [info("y", float32, ["N", 3])])
    same = [h.make_node("Identity", ["age"], ["age_out"]), h.make_node("Identity", ["city"], ["city_out"])]
    kinds = {"age": float32, "city": text}
    save(
        "columns", same, [info(n, k, ["N", 1]) for n, k in kinds.items()],
        [info(f"{n}_out", k, ["N", 1]) for n, k in kinds.items()],
    )  # fmt: skip
    return root


@pytest.fixture(scope="session")
def url(serving: Callable[..., object], models: Path) -> Iterator[str]:
    """A server with `models`."""
    with serving(models) as found:  # type: ignore[attr-defined]
        yield found


class Scripted:
    """A server of scripted connections: each is a list of answers, one for each request; after it, it closes."""

    def __init__(self, connections: list[list[bytes]]) -> None:
        self.requests: list[bytes] = []
        self._script = connections
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.closed = [threading.Event() for _ in connections]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():  # it may wait for a connection that never came: closing does not wake it
            with contextlib.suppress(OSError):
                socket.create_connection(self._socket.getsockname(), 1).close()
        self._socket.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        for answers, closed in zip(self._script, self.closed, strict=True):
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                for answer in answers:
                    request = _read(connection)
                    if not request:
                        break
                    self.requests.append(request)
                    if answer == b"wait":
                        _read(connection)  # until the client goes
                        break
                    connection.sendall(answer)
            closed.set()


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = connection.recv(65536)
        except OSError:
            return b""
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(v) for k, _, v in (x.partition(b":") for x in head.split(b"\r\n")) if k == b"content-length"), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def scripted() -> Iterator[Callable[[list[list[bytes]]], Scripted]]:
    """Start a scripted server; it is closed at the end of the test."""
    started: list[Scripted] = []

    def start(connections: list[list[bytes]]) -> Scripted:
        started.append(Scripted(connections))
        return started[-1]

    yield start
    for server in started:
        server.close()
