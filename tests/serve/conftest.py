"""Real models, and a real server on a thread of the test's own process, so that a test can reach inside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from gantline.serve.app import Stack, build_stack
from gantline.serve.process.listener import bind
from gantline.serve.process.server import Server
from gantline.serve.shelf import Shelf

from gantline.settings import ServeSettings, resolve

T = TypeVar("T")
WAIT_S = 60.0  # for what should come at once: a test that hangs fails


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, taken off a stream of bytes."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A server, and what a client needs to speak to it byte by byte."""

    def __init__(self, refs: list[str], flags: dict[str, str]) -> None:
        self.resolved = resolve(ServeSettings, {"http_port": "0", **flags}, {})
        self.shelf = Shelf(refs, self.resolved)
        self.entries = self.shelf.entries()
        self.listener = bind(self.resolved.settings)
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.stack: Stack
        self.server: Server
        self.loop: asyncio.AbstractEventLoop
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_S), "the server did not start"
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as e:
            self.listener.close()
            self._failed = e
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.stack = build_stack(self.resolved, self.entries, self.shelf)
        self.server = Server(self.stack)
        serving = asyncio.ensure_future(self.server.serve(sockets=[self.listener]))
        await self.stack.loader.load_all()
        self._ready.set()
        await serving
        await self.stack.loader.close()
        self.stack.close()

    def on_loop(self, call: Callable[[], T]) -> T:
        """Run something where the server runs, and wait for it."""

        async def run() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(WAIT_S)

    def until(self, condition: Callable[[], bool]) -> None:
        """Look at something on the server's loop until it is so."""
        end = time.monotonic() + WAIT_S
        while not self.on_loop(condition):
            assert time.monotonic() < end, "it did not come to pass"
            time.sleep(0.001)  # the loop has other things to do

    @property
    def connections(self) -> set[Any]:
        """The open connections; to be looked at on the loop."""
        return self.server.server_state.connections

    def stop(self) -> None:
        """As SIGTERM would."""
        self.loop.call_soon_threadsafe(self.server.stop)

    def wait(self) -> None:
        """Until the server has stopped by itself."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the server did not stop"
        assert self._failed is None, self._failed

    def close(self) -> None:
        if self._thread.is_alive():
            if not self.stack.front.draining:
                self.stop()
            self._thread.join(5)
        if self._thread.is_alive():
            self.stop()  # a test that failed has left a request without an answer
            self.wait()

    # -- a client

    def connect(self) -> socket.socket:
        s = socket.create_connection(("127.0.0.1", self.port), WAIT_S)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pieces are sent as they come
        return s

    def talk(self, *pieces: bytes, half_close: bool = True) -> bytes:
        """Send on a connection of its own and return all that comes, up to the server's close."""
        with self.connect() as s:
            sender = threading.Thread(target=self._send, args=(s, pieces, half_close))
            sender.start()  # whoever does not read answers is not read from
            try:
                return self.read_all(s)
            finally:
                sender.join(WAIT_S)

    @staticmethod
    def _send(s: socket.socket, pieces: Iterable[bytes], half_close: bool) -> None:
        with contextlib.suppress(OSError):  # the server may have heard enough
            for piece in pieces:
                s.sendall(piece)
            if half_close:
                s.shutdown(socket.SHUT_WR)

    def ask(self, *pieces: bytes, half_close: bool = True) -> list[Answer]:
        return self.answers(self.talk(*pieces, half_close=half_close))

    @staticmethod
    def read_all(s: socket.socket) -> bytes:
        out = bytearray()
        while piece := s.recv(1 << 16):
            out += piece
        return bytes(out)

    @staticmethod
    def read_answer(s: socket.socket) -> Answer:
        """One answer from a connection that stays open."""
        out = bytearray()
        need = 0  # bytes, once the head has told it: a large answer is not parsed at every piece
        while True:
            if len(out) >= need and b"\r\n\r\n" in out:
                found = _take(bytes(out))
                if found is not None and found[0].status != 100:
                    assert not found[1], found[1]
                    return found[0]
                length = re.search(rb"\r\ncontent-length: (\d+)", out)
                need = out.index(b"\r\n\r\n") + 4 + int(length[1]) if length and found is None else 0
            piece = s.recv(1 << 20)
            assert piece, f"closed after {bytes(out[:1000])!r}"
            out += piece

    @staticmethod
    def answers(raw: bytes) -> list[Answer]:
        """The answers in a stream; "100 Continue" is one of them."""
        out = []
        while raw:
            found = _take(raw)
            assert found is not None, f"cut off: {raw[:300]!r}"
            answer, raw = found
            out.append(answer)
        return out

    @staticmethod
    def post(path: str, body: bytes | dict[str, Any], *headers: str, version: str = "1.1") -> bytes:
        """A POST request's bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"POST {path} HTTP/{version}", "Host: localhost", *headers, f"Content-Length: {len(data)}"]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data

    @staticmethod
    def get(path: str, *headers: str, method: str = "GET") -> bytes:
        return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers]).encode("latin-1") + b"\r\n\r\n"


def _take(raw: bytes) -> tuple[Answer, bytes] | None:
    head, gap, rest = raw.partition(b"\r\n\r\n")
    if not gap:
        return None
    line, *lines = head.decode("latin-1").split("\r\n")
    status = int(line.split(" ")[1])
    headers = {k.lower(): v.strip() for k, _, v in (one.partition(":") for one in lines)}
    if status in (100, 204, 304):
        return Answer(status, headers, b""), rest
    if headers.get("transfer-encoding") != "chunked":
        size = int(headers["content-length"])
        return (Answer(status, headers, rest[:size]), rest[size:]) if len(rest) >= size else None
    body = b""
    while True:
        size_line, gap, rest = rest.partition(b"\r\n")
        size = int(size_line, 16) if gap else 0
        if not gap or len(rest) < size + 2:
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
        if not size:
            return Answer(status, headers, body), rest


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, each y = f(x): see `_models`."""
    onnx = pytest.importorskip("onnx")
    root = tmp_path_factory.mktemp("zoo")
    for name, graph in _models(onnx).items():
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, root / f"{name}.onnx")
    return root


def _models(onnx: Any) -> dict[str, Any]:
    """Small programs.

    double: [N,3] -> x + x. lookup: [N] INT64 -> a table of 4 rows, fails beyond. positive: [N] -> those above 0.
    centre: [N] -> x less the mean of all rows. work: INT64 [1] -> so many products of matrices, and the number.
    """
    h, tp = onnx.helper, onnx.TensorProto
    info, node = h.make_tensor_value_info, h.make_node
    zero = h.make_tensor("zero", tp.FLOAT, [], [0.0])
    table = h.make_tensor("table", tp.FLOAT, [4], [0.0, 10.0, 20.0, 30.0])
    return {
        "double": h.make_graph(
            [node("Add", ["x", "x"], ["y"])], "g", [info("x", tp.FLOAT, ["N", 3])], [info("y", tp.FLOAT, ["N", 3])]
        ),
        "lookup": h.make_graph(
            [node("Gather", ["table", "x"], ["y"])], "g", [info("x", tp.INT64, ["N"])], [info("y", tp.FLOAT, ["N"])],
            [table],
        ),
        "positive": h.make_graph(
            [node("Greater", ["x", "zero"], ["above"]), node("Compress", ["x", "above"], ["y"], axis=0)], "g",
            [info("x", tp.FLOAT, ["N"])], [info("y", tp.FLOAT, ["M"])], [zero],
        ),
        "centre": h.make_graph(
            [node("ReduceMean", ["x"], ["m"], keepdims=0), node("Sub", ["x", "m"], ["y"])], "g",
            [info("x", tp.FLOAT, ["N"])], [info("y", tp.FLOAT, ["N"])],
        ),
        "toil": _work(h, tp),
    }  # fmt: skip


def _work(h: Any, tp: Any) -> Any:
    info, node = h.make_tensor_value_info, h.make_node
    size = 256
    body = h.make_graph(
        [node("MatMul", ["m", "w"], ["m_out"]), node("Identity", ["go"], ["go_out"])], "body",
        [info("i", tp.INT64, []), info("go", tp.BOOL, []), info("m", tp.FLOAT, [size, size])],
        [info("go_out", tp.BOOL, []), info("m_out", tp.FLOAT, [size, size])],
    )  # fmt: skip
    w = h.make_tensor("w", tp.FLOAT, [size, size], [1.0 if i % (size + 1) == 0 else 0.0 for i in range(size * size)])
    axes = h.make_tensor("axes", tp.INT64, [1], [0])
    true = h.make_tensor("true", tp.BOOL, [], [True])
    nodes = [
        node("Squeeze", ["x", "axes"], ["n"]), node("Loop", ["n", "true", "w"], ["last"], body=body),
        node("ReduceSum", ["last"], ["trace"], keepdims=0), node("Cast", ["trace"], ["t"], to=tp.INT64),
        node("Sub", ["t", "t"], ["none"]), node("Add", ["x", "none"], ["y"]),
    ]  # fmt: skip
    return h.make_graph(nodes, "g", [info("x", tp.INT64, [1])], [info("y", tp.INT64, [1])], [w, axes, true])


Scaler = Callable[[Path, float], Path]


@pytest.fixture(scope="session")
def scaler() -> Scaler:
    """Write a model to a path, by a rename: x [N,3] -> x times a number."""
    onnx = pytest.importorskip("onnx")
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    info = h.make_tensor_value_info

    def write(path: Path, factor: float) -> Path:
        graph = h.make_graph(
            [h.make_node("Mul", ["x", "k"], ["y"])], "g", [info("x", float32, ["N", 3])],
            [info("y", float32, ["N", 3])], [h.make_tensor("k", float32, [], [factor])],
        )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        work = path.with_name(f".{path.name}.tmp")
        onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), work)
        work.rename(path)
        return path

    return write


@pytest.fixture(scope="session")
def servers(zoo: Path) -> Iterator[Callable[..., Running]]:
    """Start servers of the zoo (or of other REFs): `servers(keep_alive_s=1)`."""
    started: list[Running] = []

    def start(*refs: Path | str, **flags: object) -> Running:
        one = Running([str(r) for r in refs or (zoo,)], {k: str(v) for k, v in flags.items()})
        started.append(one)
        return one

    yield start
    for one in started:
        if one._thread.is_alive():
            one.stop()  # all at once: each takes its time
    for one in started:
        one.close()


@pytest.fixture(scope="session")
def server(servers: Callable[..., Running]) -> Running:
    """One server with the zoo and the default settings, for all tests that leave it as it was."""
    return servers()


Issue = Callable[[Path], tuple[Path, Path]]


@pytest.fixture(scope="session")
def issue() -> Issue:
    """Make a certificate of its own authority for localhost, in a folder; another one each time."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"

    def make(folder: Path) -> tuple[Path, Path]:
        command = [*words.split(), "-keyout", "key", "-out", "cert"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return folder / "cert", folder / "key"

    return make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory, issue: Issue) -> tuple[Path, Path]:
    return issue(tmp_path_factory.mktemp("tls"))
