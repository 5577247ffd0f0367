"""The stages of the h2 front's trial that are clients: `python benchmarks/h2_stages.py STAGE PORT`, JSON out.

Each counts what it asked and what it got; `lost` are calls without the right answer. See h2_trial.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from h2_fuzz import DATA, HEADERS, PREFACE, RST, SETTINGS, WINDOW, frame

from gantline.request import Request
from gantline.wire.v2_grpc import decode_reply, encode_request

SERVICE = "/inference.GRPCInferenceService/"
ROW = encode_request(Request({"x": np.ones((1, 4), np.float32)}, "null"))
WIDE_ROW = encode_request(Request({"x": np.ones((1, 4), np.float32)}, "wide"))
WIDE = 26_214_400  # columns of model "wide": 100 MiB a row
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def http(port: int) -> dict[str, Any]:
    """tritonclient's HTTP client on the same port."""
    import tritonclient.http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{port}", concurrency=4)
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    lost = 0
    for _ in range(2000):
        lost += client.infer("null", [tensor]).as_numpy("y").shape != (1, 1)
    client.close()
    return {"calls": 2000, "lost": lost}


def grpc_sync(port: int) -> dict[str, Any]:
    """tritonclient's gRPC client over several rotations of its connection."""
    import tritonclient.grpc as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    lost = 0
    for _ in range(12_000):
        lost += client.infer("null", [tensor]).as_numpy("y").shape != (1, 1)
    client.close()
    return {"calls": 12_000, "lost": lost}


def streaming(port: int) -> dict[str, Any]:
    """tritonclient's stream: every request one response, beside calls that rotate the connection."""
    import tritonclient.grpc as triton

    answers: list[Any] = []
    came = threading.Semaphore(0)

    def answered(result: Any, error: Any) -> None:
        answers.append(error)
        came.release()

    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    client.start_stream(answered)
    for _ in range(5000):
        client.async_stream_infer("null", [tensor])
        client.infer("null", [tensor])
    got = sum(came.acquire(timeout=60) for _ in range(5000))
    client.stop_stream()
    client.close()
    return {"calls": 10_000, "lost": 5000 - got + sum(error is not None for error in answers)}


async def _calls(port: int, workers: int, calls: int) -> dict[str, Any]:
    lost: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(SERVICE + "ModelInfer")

        async def worker() -> None:
            for _ in range(calls // workers):
                try:
                    decode_reply(await infer(ROW))
                except grpc.aio.AioRpcError as e:
                    lost[f"{e.code().name}: {e.details()}"] += 1

        await asyncio.gather(*(worker() for _ in range(workers)))
    return {"calls": calls, "lost": sum(lost.values()), **({"why": lost} if lost else {})}


def aio(port: int) -> dict[str, Any]:
    """tritonclient's aio client is this: grpc.aio, here 64 calls at once on one channel, over many rotations."""
    return asyncio.run(_calls(port, 64, 64_000))


def aio_many(port: int) -> dict[str, Any]:
    """More calls at once than a connection takes streams (128)."""
    return asyncio.run(_calls(port, 500, 30_000))


def large(port: int) -> dict[str, Any]:
    """100 MiB each way, through windows of 64 KiB inwards, while a client elsewhere asks whether the server lives."""
    inwards = encode_request(Request({"x": np.ones((1, WIDE), np.float32)}, "null"))
    watcher = subprocess.Popen(
        [sys.executable, __file__, "watch", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with watcher, grpc.insecure_channel(f"127.0.0.1:{port}", _OPTIONS) as channel:
        assert watcher.stdout is not None and watcher.stdin is not None
        watcher.stdout.readline()
        infer: Any = channel.unary_unary(SERVICE + "ModelInfer")
        began = time.perf_counter()
        right = decode_reply(infer(inwards)).outputs[0][1].shape == (1, 1)
        sent = time.perf_counter()
        right &= decode_reply(infer(WIDE_ROW)).outputs[0][1].shape == (1, WIDE)
        received = time.perf_counter()
        watcher.stdin.close()
        watched = json.loads(watcher.stdout.read())
    return {
        "calls": 2,
        "lost": int(not right),
        "inwards_mb_per_s": WIDE * 4 / 1e6 / (sent - began),
        "outwards_mb_per_s": WIDE * 4 / 1e6 / (received - sent),
        **watched,
    }


def watch(port: int) -> dict[str, Any]:
    """Small calls one after another until stdin ends; how long they took."""
    took: list[float] = []
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait).start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        live: Any = channel.unary_unary(SERVICE + "ServerLive")
        live(b"")
        sys.stdout.write("\n")
        sys.stdout.flush()
        while not over.is_set():
            began = time.perf_counter()
            live(b"")
            took.append(time.perf_counter() - began)
            over.wait(0.002)
    took.sort()
    return {"other_call_median_ms": 1e3 * took[len(took) // 2], "other_call_worst_ms": 1e3 * took[-1]}


class Raw:
    """A connection, frame by frame, to leave it at any point."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def head(self, stream: int, method: str = "ModelInfer") -> None:
        fields = {":method": "POST", ":scheme": "http", ":path": SERVICE + method, ":authority": "x"}
        fields |= {"content-type": "application/grpc", "te": "trailers"}
        block = b"".join(b"\0%c%s%c%s" % (len(k), k.encode(), len(v), v.encode()) for k, v in fields.items())
        self.socket.sendall(frame(HEADERS, 4, stream, block))

    def data(self, stream: int, data: bytes, end: bool = False) -> None:
        self.socket.sendall(frame(DATA, int(end), stream, data))


def cancel(port: int) -> dict[str, Any]:
    """Leave at each stage, by RST_STREAM and by closing the connection, while 16 others must get their answers."""
    message = b"\0" + struct.pack(">I", len(ROW)) + ROW
    wide = b"\0" + struct.pack(">I", len(WIDE_ROW)) + WIDE_ROW
    # how much of a call is sent before its client leaves
    steps: list[tuple[str, tuple[bytes, ...], bool]] = [
        ("ModelInfer", (), False),
        ("ModelInfer", (message[:3],), False),  # inside the prefix
        ("ModelInfer", (message[:20],), False),
        ("ModelInfer", (message,), False),
        ("ModelInfer", (message,), True),  # queued, or in a batch
        ("ModelInfer", (wide,), True),  # inside the answer
        ("ModelStreamInfer", (message,), False),
    ]

    def begin(raw: Raw, stream: int, method: str, pieces: tuple[bytes, ...], end: bool) -> None:
        raw.head(stream, method)
        for piece in pieces:
            raw.data(stream, piece, end)
        if wide in pieces:
            raw.socket.recv(1000)

    others: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: others.update(asyncio.run(_calls(port, 16, 16_000))))
    thread.start()
    rounds = 0
    while thread.is_alive() or rounds < 20:
        for step in steps:
            raw = Raw(port)
            for stream in (1, 3, 5):
                begin(raw, stream, *step)
                raw.socket.sendall(frame(RST, 0, stream, struct.pack(">I", 8)) + frame(WINDOW, 0, 0, b"\0\0\1\0"))
            raw.socket.close()
            raw = Raw(port)
            begin(raw, 1, *step)
            raw.socket.close()
        rounds += 1
    thread.join()
    cancelled = asyncio.run(_cancelled(port))
    return {"calls": others["calls"], "lost": others["lost"], "left": rounds * len(steps) * 4 + cancelled}


async def _cancelled(port: int) -> int:
    """Calls that a real client cancels after a random time: far more than zttp forgives a connection (256)."""
    choose = random.Random(7)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", _OPTIONS) as channel:
        infer = channel.unary_unary(SERVICE + "ModelInfer")
        for _ in range(60):
            calls = [infer(choose.choice((ROW, ROW, ROW))) for _ in range(50)]
            await asyncio.sleep(choose.random() / 50)
            for call in calls:
                call.cancel()
            decode_reply(await infer(ROW))  # nobody else is hurt
    return 60 * 50


def drain(port: int) -> dict[str, Any]:
    """Eight clients that ask without a pause until the server is gone: what was under way must be answered."""
    return asyncio.run(_drain(port))


async def _drain(port: int) -> dict[str, Any]:
    done, lost = 0, Counter[str]()

    async def client() -> None:
        nonlocal done
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            infer = channel.unary_unary(SERVICE + "ModelInfer")
            while True:
                try:
                    decode_reply(await infer(ROW))
                    done += 1
                except grpc.aio.AioRpcError as e:
                    if "failed to connect" not in (e.details() or ""):  # else it never reached anybody
                        lost[f"{e.code().name}: {e.details()}"] += 1
                    return

    await asyncio.gather(*(client() for _ in range(8)))
    return {"calls": done, "lost": sum(lost.values()), **({"why": lost} if lost else {})}


STAGES: dict[str, Callable[[int], dict[str, Any]]] = {
    "http": http, "grpc": grpc_sync, "aio": aio, "aio_many": aio_many, "streaming": streaming, "large": large,
    "cancel": cancel, "drain": drain,
}  # fmt: skip

if __name__ == "__main__":
    asked = {**STAGES, "watch": watch}[sys.argv[1]]
    sys.stdout.write(json.dumps(asked(int(sys.argv[2]))) + "\n")
