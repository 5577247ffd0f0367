"""What tests of fronts share: a hot path whose requests are held, HTTP/2 frame by frame, and gRPC methods to call."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import TYPE_CHECKING, Any

import hpack
import pytest
from gantline.serve.exchange import Head, Responder
from gantline.serve.rpc.call import Call, Methods, Streaming
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

if TYPE_CHECKING:
    from tests.serve.conftest import Running

WAIT_S = 60.0


class Held:
    """Requests to /test/hold as they came, each with its responder."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.requests: list[tuple[Head, bytes, Responder]] = []
        self._came = threading.Condition()

    def handle(self, head: Head, body: bytes, responder: Responder) -> None:
        with self._came:
            self.requests.append((head, body, responder))
            self._came.notify_all()

    def wait(self, count: int) -> Responder:
        """Until so many have come; the last one's responder."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= count, WAIT_S), len(self.requests)
            return self.requests[count - 1][2]

    def answer(self, which: int, body: bytes = b"held") -> None:
        """Answer the request of that number, counted from 1."""
        responder = self.wait(which)
        self.server.on_loop(lambda: responder.send(200, [(b"content-type", b"text/plain")], body))


@pytest.fixture
def held(server: Running) -> Held:
    found = Held(server)
    server.stack.front.handlers[b"/test/hold"] = found.handle
    return found


@pytest.fixture
def hold() -> Iterator[Callable[[Running], Held]]:
    """The same for a server of the test's own."""

    def on(server: Running) -> Held:
        found = Held(server)
        server.stack.front.handlers[b"/test/hold"] = found.handle
        return found

    yield on


@dataclass
class Reply:
    """What came back on a stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    ended: bool = False


class Frames:
    """An HTTP/2 client that keeps to no rules but the test's."""

    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    def __init__(self, server: Running, settings: dict[int, int] | None = None, socket: Any = None) -> None:
        self.socket = socket or server.connect()
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # else each request waits 40 ms for the last one's ACK
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._encoder.header_table_size = 0  # so that a test may throw frames away
        self._received = b""
        self.replies: dict[int, Reply] = {}
        self.others: list[Frame] = []
        self.auto = True  # answer with room for more
        self.raw(self.PREFACE)
        self.send(SettingsFrame(0, settings=settings or {}))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, *frames: Frame) -> None:
        self.raw(b"".join(f.serialize() for f in frames))

    def head(self, stream: int, path: str, *more: tuple[str, str], method: str = "POST", end: bool = False) -> Frame:
        """A HEADERS frame."""
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"), *more]
        made = HeadersFrame(stream, self._encoder.encode(fields, huffman=False))
        made.flags.add("END_HEADERS")
        if end:
            made.flags.add("END_STREAM")
        return made

    def block(self, *fields: tuple[str, str]) -> bytes:
        return self._encoder.encode(list(fields), huffman=False)

    def rpc(self, stream: int, path: str, *more: tuple[str, str]) -> Frame:
        return self.head(stream, path, ("content-type", "application/grpc"), ("te", "trailers"), *more)

    def data(self, stream: int, data: bytes, end: bool = False) -> Frame:
        made = DataFrame(stream, data)
        if end:
            made.flags.add("END_STREAM")
        return made

    @staticmethod
    def message(data: bytes, compressed: bool = False) -> bytes:
        return bytes((compressed,)) + len(data).to_bytes(4, "big") + data

    def read(self) -> Frame | None:
        """The next frame, or None at the server's close."""
        while True:
            if len(self._received) >= 9:
                frame, size = Frame.parse_frame_header(memoryview(self._received[:9]))
                if len(self._received) >= 9 + size:
                    frame.parse_body(memoryview(self._received[9 : 9 + size]))
                    self._received = self._received[9 + size :]
                    self._note(frame)
                    return frame
            piece = self.socket.recv(1 << 16)
            if not piece:
                return None
            self._received += piece

    def _note(self, frame: Frame) -> None:
        if not isinstance(frame, HeadersFrame | DataFrame | RstStreamFrame):
            self.others.append(frame)
            return
        reply = self.replies.setdefault(frame.stream_id, Reply())
        if isinstance(frame, HeadersFrame):
            found = {str(k): str(v) for k, v in self._decoder.decode(frame.data)}
            if found.get(":status") == "100":
                self.others.append(frame)
            elif reply.status:
                reply.trailers = found
            else:
                reply.status = int(found.pop(":status"))
                reply.headers = found
        elif isinstance(frame, DataFrame):
            reply.body += frame.data
            if self.auto and frame.data:
                self.send(*(WindowUpdateFrame(s, window_increment=len(frame.data)) for s in (0, frame.stream_id)))
        else:
            reply.reset = frame.error_code
            reply.ended = True
        reply.ended = reply.ended or "END_STREAM" in frame.flags

    def until(self, kind: type[Frame], count: int = 1) -> Frame:
        """Read on to so many frames of a kind, counted from the beginning; the last of them."""
        while len(found := [f for f in self.others if isinstance(f, kind)]) < count:
            assert self.read() is not None, f"closed before {kind.__name__}: {self.others}"
        return found[count - 1]

    def reply(self, stream: int) -> Reply:
        """Read on until a stream is over."""
        while not (stream in self.replies and self.replies[stream].ended):
            assert self.read() is not None, f"closed: {self.replies} {self.others}"
        return self.replies[stream]

    def closed(self) -> list[Frame]:
        """Read on to the server's close."""
        while self.read() is not None:
            pass
        return self.others

    def ping(self) -> None:
        """Until the server has read all that was sent, and what it says to that at once has come.

        Asked twice: the first answer goes out before what follows from the frames that were read with its question.
        """
        for _ in range(2):
            before = self._pongs()
            self.send(PingFrame(0, b"are you?"))
            while self._pongs() == before:
                assert self.read() is not None, self.others

    def _pongs(self) -> int:
        return len([f for f in self.others if isinstance(f, PingFrame) and "ACK" in f.flags])

    def goaways(self) -> list[tuple[int, int]]:
        """The last stream and the code of each GOAWAY so far."""
        return [(f.last_stream_id, f.error_code) for f in self.others if isinstance(f, GoAwayFrame)]

    def close(self) -> None:
        self.socket.close()


class Rpcs:
    """gRPC methods of package `test`, and the calls that they were given."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.calls: list[Call] = []
        self.left: list[Call] = []  # that were closed before they were finished
        self.messages: list[bytes] = []
        self._came = threading.Condition()
        fronts: Any = server.server.config.http_protocol_class
        unary = {b"/test/Echo": self.echo, b"/test/Hold": self.hold, b"/test/Raise": self.fault}
        streaming: dict[bytes, Streaming] = {
            b"/test/Each": lambda call: _Each(self, call),
            b"/test/Gather": lambda call: _Gather(self, call),
        }
        old: Methods = fronts.rpc.methods
        fronts.rpc.methods = Methods({**old.unary, **unary}, {**old.streaming, **streaming})

    def _note(self, call: Call) -> None:
        call.on_close(lambda: self._add(self.left, call))
        self._add(self.calls, call)

    def _add(self, to: list[Any], what: Any) -> None:
        with self._came:
            to.append(what)
            self._came.notify_all()

    def wait(self, what: list[Any], count: int) -> Any:
        """Until a list of ours has so many; the last of them."""
        with self._came:
            assert self._came.wait_for(lambda: len(what) >= count, WAIT_S), what
            return what[count - 1]

    def echo(self, call: Call, message: bytes) -> None:
        call.send(message)
        call.finish()

    def hold(self, call: Call, message: bytes) -> None:
        self._add(self.messages, message)
        self._note(call)

    def fault(self, call: Call, message: bytes) -> None:
        raise ValueError("a fault in a method")


class _Each:
    """Answers each message with itself, and the end with OK."""

    def __init__(self, rpcs: Rpcs, call: Call) -> None:
        self._call = call
        rpcs._note(call)

    def message(self, data: bytes) -> None:
        self._call.send(data)

    def half_close(self) -> None:
        self._call.finish()


class _Gather:
    """Keeps what comes, and takes no more of it after the first message until the test says so."""

    def __init__(self, rpcs: Rpcs, call: Call) -> None:
        self._rpcs = rpcs
        self._call = call
        rpcs._note(call)

    def message(self, data: bytes) -> None:
        self._rpcs._add(self._rpcs.messages, data)
        self._call.pause_reading()

    def half_close(self) -> None:
        self._call.finish(0, "", [(b"came", b"%d" % len(self._rpcs.messages))])


@pytest.fixture(scope="session")
def h2(servers: Callable[..., Running]) -> Running:
    """One server with the h2 front, for all tests that leave it as it was."""
    return servers(front="h2")


@pytest.fixture
def rpcs(h2: Running) -> Rpcs:
    return Rpcs(h2)


@pytest.fixture
def teach() -> Callable[[Running], Rpcs]:
    """The test's methods for a server of its own."""
    return Rpcs


@pytest.fixture
def frames(h2: Running, rpcs: Rpcs) -> Iterator[Frames]:
    """A connection to that server, made when it has the test's methods."""
    made = Frames(h2)
    yield made
    made.close()


@pytest.fixture
def speak() -> Iterator[Callable[..., Frames]]:
    """Connections to a server of the test's own."""
    made: list[Frames] = []

    def connect(server: Running, **options: Any) -> Frames:
        made.append(Frames(server, **options))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*words.split(), "-keyout", "key", "-out", "cert"], cwd=folder, check=True, capture_output=True)
    return folder / "cert", folder / "key"
