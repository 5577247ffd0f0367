"""Malformed HTTP/2, made from a seed: bytes and frames, for zttp alone and for a listening server.

`python benchmarks/h2_fuzz.py zttp|PORT [--seconds 60] [--seed 0]`. A case is a connection: a preface, then frames that
are right, wrong in one field, or noise, cut into pieces anywhere. zttp may raise its ProtocolError and nothing else,
and what it wants to send must be whole frames; a server must answer a right request on another connection after every
hundred cases. A child runs the cases, so that a crash costs a child and names its seed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from hpack import Encoder
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, _PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
PATHS = [b"/", b"/v2", b"/v2/models/null/infer", b"/inference.GRPCInferenceService/ModelInfer", b"*", b"", b"/\xff?a=b"]
CALL = b"/inference.GRPCInferenceService/ServerLive"
_HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
_EDGES = (0, 1, 2, 0x7F, 0xFF, 0x3FFF, 0x4000, 0x4001, 0xFFFF, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame, right or not."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind & 255, flags & 255)) + struct.pack(">I", stream) + payload


def frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of whole frames; ValueError for a piece of one."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        if at + 9 + size > len(data):
            raise ValueError(f"a frame is cut off at {at} of {len(data)}")
        kind, flags, stream = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big")
        yield kind, flags, stream, data[at + 9 : at + 9 + size]
        at += 9 + size


class Case:
    """One connection's bytes, all of them decided by the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.wild = self.random.choice((0.0, 0.02, 0.2))  # how often something is wrong
        self.next = 1
        self.open: list[int] = []

    def pieces(self) -> Iterator[bytes]:
        """What is sent, as it is cut."""
        choose = self.random
        out = bytearray()
        if choose.random() >= self.wild / 4:
            out += PREFACE
        if choose.random() >= self.wild / 4:
            out += frame(SETTINGS, 0, 0, self.settings())
        for _ in range(choose.randrange(1, 40)):
            out += self.one()
        if choose.random() < self.wild:
            for _ in range(choose.randrange(1, 8)):
                out[choose.randrange(len(out))] ^= 1 << choose.randrange(8)
        if choose.random() < self.wild / 2:
            at = choose.randrange(len(out))
            del out[at : at + choose.randrange(1, 20)]
        whole, at = bytes(out), 0
        while at < len(whole):
            size = choose.choice((1, 3, 9, 24, 100, 1000, 1 << 16))
            yield whole[at : at + size]
            at += size

    def one(self) -> bytes:
        choose = self.random
        makes: tuple[Callable[[], bytes], ...] = (self.request, self.request, self.data, self.data, self.control)
        if not self.open:
            makes = (self.request,)
        made = (self.noise if choose.random() < self.wild else choose.choice(makes))()
        if choose.random() < self.wild / 2:  # one field wrong
            raw = bytearray(made)
            at = choose.randrange(min(len(raw), 9))
            raw[at] = choose.choice((0, 1, 127, 128, 255, choose.randrange(256)))
            made = bytes(raw)
        return made

    def stream(self) -> int:
        choose = self.random
        if self.open and choose.random() >= self.wild:
            return choose.choice(self.open)
        if self.wild == 0.0:
            return self.open_one()
        return choose.choice((0, 1, 2, self.next, self.next + 1000, choose.choice(_EDGES)))

    def open_one(self) -> int:
        """A stream that the client may still send on; 1 (which this makes wrong) when there is none."""
        return self.random.choice(self.open) if self.open else 1

    def settings(self) -> bytes:
        choose = self.random
        right = [(1, 0), (1, 4096), (1, 1 << 20), (2, 0), (3, 0), (3, 100), (4, 0), (4, 10), (4, 1 << 20)]
        right += [(4, (1 << 31) - 1), (5, 16384), (5, 1 << 20), (6, 100), (8, 0), (99, 7)]
        pairs = [choose.choice(right) for _ in range(choose.choice((0, 0, 0, 1, 2, 5)))]
        pairs += [(choose.randrange(10), choose.choice(_EDGES)) for _ in pairs if choose.random() < self.wild]
        return b"".join(struct.pack(">HI", *pair) for pair in pairs)

    def headers(self) -> list[tuple[bytes, bytes]]:
        choose = self.random
        made = [
            (b":method", choose.choice((b"POST", b"POST", b"GET", b"HEAD"))),
            (b":scheme", b"http"),
            (b":path", choose.choice(PATHS[:4])),
            (b":authority", b"here"),
        ]
        more: list[tuple[bytes, bytes]] = [
            (b"content-type", choose.choice((b"application/grpc", b"application/grpc+proto", b"application/json"))),
            (b"te", b"trailers"),
            (b"te", b"gzip"),
            (b"grpc-timeout", choose.choice((b"1S", b"10m", b"99999999H", b"-1S", b"x", b"", b"123456789n"))),
            (b"grpc-encoding", choose.choice((b"gzip", b"deflate", b"identity", b"br", b""))),
            (b"content-length", choose.choice((b"0", b"5", b"99999999999999999999", b"-1", b"a"))),
            (b"connection", b"close"),
            (b"X-Upper", b"a"),
            (b"x-control", b"a\r\nb"),
            (b"x-long", b"y" * choose.choice((1, 1000, 20000, 70000))),
            (b":status", b"200"),
            (b":method", choose.choice((b"CONNECT", b"", b"G T"))),
            (b":path", choose.choice(PATHS)),
            (b"expect", b"100-continue"),
        ]
        made += choose.sample(more[:2], choose.randrange(3))
        if choose.random() < 0.3:
            made += [(b"grpc-encoding", b"gzip"), (b"grpc-timeout", b"1S")]
        if choose.random() < self.wild * 2:
            made += choose.sample(more, choose.randrange(len(more)))
        if choose.random() < self.wild / 2:
            choose.shuffle(made)
        return made

    def block(self, fields: list[tuple[bytes, bytes]]) -> bytes:
        """HPACK: literals, that the peer is to remember or not, and what it may remember by number."""
        choose = self.random
        out = bytearray()
        for name, value in fields:
            out += choose.choice((b"\0", b"\0", b"\x10", b"\x40")) + self.text(name) + self.text(value)
        if choose.random() < self.wild:
            out += bytes((choose.randrange(256),))
        return bytes(out)

    def text(self, value: bytes) -> bytes:
        """A string as HPACK writes it."""
        flag = 0
        if len(value) < 40 and self.random.random() < 0.2:
            flag, value = 0x80, _HUFFMAN.encode(value)
        if len(value) < 127:
            return bytes((flag | len(value),)) + value
        rest, length = len(value) - 127, bytearray((flag | 127,))
        while rest >= 128:
            length.append(rest & 127 | 128)
            rest >>= 7
        return bytes(length) + bytes((rest,)) + value

    def request(self) -> bytes:
        choose = self.random
        if choose.random() < 0.5:
            path = choose.choice((CALL, PATHS[3]))
            fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"here")]
            fields += [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
        else:
            fields = self.headers()
        block = self.block(fields) if choose.random() >= self.wild / 4 else choose.randbytes(choose.randrange(60))
        ends = choose.random() < 0.2
        stream = self.next if choose.random() >= self.wild / 4 else self.stream()
        if stream == self.next:
            self.next += 2
            if not ends:
                self.open.append(stream)
        if choose.random() < 0.85 and len(block) < 16384:
            return frame(HEADERS, 4 | ends, stream, block)
        cut = choose.randrange(len(block) + 1)
        first, rest = block[: min(cut, 16384)], block[min(cut, 16384) :]
        out = frame(HEADERS, 0 | ends, stream, first)
        while rest:
            piece, rest = rest[:16384], rest[16384:]
            out += frame(CONTINUATION, 0 if rest else 4, stream, piece)
        return out

    def data(self) -> bytes:
        choose = self.random
        size = choose.choice((0, 1, 5, 100, 5000, 16384))
        body = choose.choice(
            (
                b"\0" + struct.pack(">I", size) + bytes(size),
                choose.randbytes(size),
                b"\1\0\0\0\5hello",
                b"\0\xff\xff\xff\xff",
            )
        )[:16384]
        flags = choose.choice((0, 0, 0, 1, 8))
        if flags & 8:
            pad = choose.randrange(256 if choose.random() < self.wild else min(len(body) + 1, 256))
            body = bytes((pad,)) + body[:16000]
        return frame(DATA, flags, self.end(self.stream()) if flags & 1 else self.stream(), body)

    def end(self, stream: int) -> int:
        """The stream, after which the client says no more on it."""
        if stream in self.open:
            self.open.remove(stream)
        return stream

    def control(self) -> bytes:
        choose = self.random
        number = struct.pack(">I", choose.choice(_EDGES if choose.random() < self.wild else (1, 8, 1000, 65535)))
        return choose.choice(
            (
                lambda: frame(WINDOW, 0, choose.choice((0, self.stream())), number),
                lambda: frame(RST, 0, self.end(self.stream()), number),
                lambda: frame(PING, choose.choice((0, 0, 1)), 0, choose.randbytes(8)),
                lambda: frame(SETTINGS, choose.choice((0, 0, 1)), 0, self.settings()),
                lambda: frame(PRIORITY, 0, self.stream(), bytes(4) + b"\5"),
                lambda: frame(GOAWAY, 0, 0, number + number + b"bye"),
                lambda: frame(HEADERS, 5, self.end(self.stream()), self.block([(b"x-trailer", b"1")])),
            )
        )()

    def noise(self) -> bytes:
        choose = self.random
        return frame(
            choose.randrange(256), choose.randrange(256), self.stream(), choose.randbytes(choose.randrange(300))
        )


def against_zttp(seed: int) -> str:
    """Run one case in zttp itself, answering some of what it reports; what became of it, in a word."""
    import zttp

    case = Case(seed)
    conn = zttp.Connection(zttp.SERVER, zttp.HTTP2)
    conn.initiate_connection()
    sent = bytearray(conn.data_to_send())
    outcome = "accepted"
    for piece in case.pieces():
        try:
            conn.receive_data(piece)
            while (event := conn.next_event()) is not zttp.NEED_DATA:
                with contextlib.suppress(zttp.LocalProtocolError):
                    _answer(case.random, conn, event)
        except zttp.RemoteProtocolError:
            outcome = "refused"
        sent += conn.data_to_send()
        if outcome == "refused":
            break
    kinds = [kind for kind, *_ in frames(bytes(sent))]
    if outcome == "refused" and kinds.count(GOAWAY) < 1:
        raise AssertionError(f"seed {seed}: refused without GOAWAY")
    return outcome


def _answer(choose: random.Random, conn: Any, event: Any) -> None:
    stream_id = getattr(event, "stream_id", 0)
    if not stream_id or choose.random() < 0.3:
        return
    stream = conn.stream(stream_id)
    what = choose.randrange(8)
    if what < 3:
        stream.send_response(200, [(b"content-type", b"application/grpc")])
        stream.send_data(bytes(choose.choice((0, 10, 70000))))
        stream.end_message([(b"grpc-status", b"0")])
    elif what == 3:
        stream.send_response(200, [], True)
    elif what == 4:
        stream.reset(choose.randrange(14))
    elif what == 5:
        stream.send_data(bytes(choose.choice((0, 10, 70000))))
    elif what == 6:
        stream.end_message()
    elif choose.random() < 0.02:
        conn.close(0, choose.choice((None, 0x7FFFFFFF)))


def against_server(port: int, seed: int) -> str:
    """Run one case on a connection of its own; "open" when the server would have gone on listening."""
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.settimeout(0.001)
        try:
            for piece in Case(seed).pieces():
                s.sendall(piece)
                with contextlib.suppress(TimeoutError, BlockingIOError):
                    if seed % 3 and not s.recv(1 << 16):
                        return "closed"
        except (OSError, TimeoutError):
            return "closed"
        return "open"


def alive(port: int) -> None:
    """A right call on a new connection; AssertionError if it is not answered with grpc-status 0."""
    block = Encoder().encode(
        [
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", CALL), (b":authority", b"here"),
            (b"content-type", b"application/grpc"), (b"te", b"trailers"),
        ]
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(30)
        s.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 4, 1, block) + frame(DATA, 1, 1, bytes(5)))
        seen = b""
        while b"grpc-status" not in seen:
            piece = s.recv(1 << 16)
            assert piece, f"closed without an answer: {seen!r}"
            seen += piece


def run_cases(target: str, seed: int, seconds: float) -> dict[str, int]:
    """Cases from `seed` on, in this process; how many came to which end."""
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sys.stderr.write(f"{seed}\n")  # the last line names the case that killed us
        if target == "zttp":
            outcomes[against_zttp(seed)] += 1
        else:
            outcomes[against_server(int(target), seed)] += 1
            if seed % 100 == 0:
                alive(int(target))
                outcomes["alive"] += 1
        seed += 1
    return outcomes


def fuzz(target: str, seed: int, seconds: float) -> dict[str, Any]:
    """Cases in children of at most a minute each; the counts, and what failed with which seed."""
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 1 and len(failures) < 20:
        command = [sys.executable, __file__, target, "--child", "--seed", str(seed), "--seconds", f"{min(left, 60):g}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        seeds = [line for line in done.stderr.splitlines() if line.isdigit()]
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if not line.isdigit()]
            failures.append(f"seed {seeds[-1] if seeds else seed}: exit {done.returncode}: {' | '.join(said[-3:])}")
        else:
            outcomes.update(json.loads(done.stdout))
        seed = int(seeds[-1]) + 1 if seeds else seed + 1
    return {"target": "zttp" if target == "zttp" else "server", "seconds": seconds, **outcomes, "failures": failures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    work = run_cases if args.child else fuzz
    sys.stdout.write(json.dumps(work(args.target, args.seed, args.seconds)) + "\n")


if __name__ == "__main__":
    main()
