"""An infer request's way from bytes to bytes, by Core itself; fronts are tried elsewhere."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import logging
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.serve.admission import ByteBudget
from gantline.serve.control import Control
from gantline.serve.core import Core
from gantline.serve.entry import Entry
from gantline.serve.exchange import Head, Headers
from gantline.serve.model import Model
from gantline.serve.policy import QueuePolicy
from gantline.serve.repository import Repository
from gantline.serve.shared_memory import SharedMemory
from gantline.serve.tuning import Tuning

from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

LIMIT = 8 << 20
PATH = "/v2/models/double/infer"
X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
PLAIN = json.dumps({"inputs": [X]}).encode()


class Answer:
    """A responder that waits for one whole answer."""

    def __init__(self) -> None:
        self.closed = False
        self.got: asyncio.Future[tuple[int, Headers, bytes]] = asyncio.get_running_loop().create_future()

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self.got.set_result((status, headers, body))

    def start(self, status: int, headers: Headers) -> None: ...
    def chunk(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def abort(self) -> None: ...
    async def drain(self) -> None: ...
    def on_close(self, callback: Callable[[], None]) -> None: ...


class Desk:
    """A core with the zoo behind it."""

    def __init__(self, zoo: Path) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.repository = Repository([])
        self.core = Core(self.repository, LIMIT, self.pool, SharedMemory(False, LIMIT, Control()), ByteBudget(LIMIT))
        for name, rows in (("double", 64), ("lookup", 64), ("toil", 0)):
            self.add(name, Session.open(Package.bare(zoo / f"{name}.onnx", name)), rows)

    def add(self, name: str, session: Session, rows: int = 0) -> Model:
        model = Model(session, name, "1", self.pool, Tuning(QueuePolicy(rows, 100)))
        self.repository.swap(name, [(Entry(name, "1", session.package), model)])
        return model

    def send(self, body: bytes, *headers: tuple[str, str], path: str = PATH) -> Answer:
        pairs = [(k.lower().encode(), v.encode()) for k, v in headers]
        answer = Answer()
        self.core.infer(Head(b"POST", path.encode(), b"", pairs), body, answer)
        return answer

    async def ask(self, body: bytes, *headers: tuple[str, str], path: str = PATH) -> tuple[int, dict[str, str], Any]:
        status, found, data = await asyncio.wait_for(self.send(body, *headers, path=path).got, 20)
        named = {k.decode(): v.decode() for k, v in found}
        if named.get("content-encoding"):
            data = zlib.decompress(data, 47)
        return status, named, json.loads(data) if named["content-type"] == "application/json" else data


def at(zoo: Path, test: Callable[[Desk], Any]) -> None:
    async def run() -> None:
        desk = Desk(zoo)
        try:
            await test(desk)
        finally:
            desk.pool.shutdown()

    asyncio.run(run())


# -- codings


@pytest.mark.parametrize("name", ["gzip", "deflate", "x-gzip", "GZIP", " deflate "])
def test_compressed_requests(zoo: Path, name: str) -> None:
    packed = [gzip.compress(b) if "zip" in name.lower() else zlib.compress(b) for b in (PLAIN, PLAIN + b" " * 20_000)]
    random = np.random.default_rng(0).standard_normal((3000, 3)).astype(np.float32)
    many = json.dumps({"inputs": [{**X, "shape": [3000, 3], "data": random.ravel().tolist()}]}).encode()
    packed.append(gzip.compress(many) if "zip" in name.lower() else zlib.compress(many))
    assert len(packed[2]) > 1 << 14  # this one is decoded on a thread

    async def test(desk: Desk) -> None:
        for one in packed:
            status, _, got = await desk.ask(one, ("Content-Encoding", name))
            assert status == 200 and got["outputs"][0]["shape"][1] == 3

    at(zoo, test)


def test_the_json_length_counts_what_was_before_compression(zoo: Path) -> None:
    head = json.dumps(
        {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}]}
    )
    raw = head.encode() + np.array([1, 2, 3], "<f4").tobytes()

    async def test(desk: Desk) -> None:
        length = ("Inference-Header-Content-Length", str(len(head)))
        status, _, got = await desk.ask(gzip.compress(raw), ("Content-Encoding", "gzip"), length)
        assert status == 200 and got["outputs"][0]["data"] == [2, 4, 6]

    at(zoo, test)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate;q=0, gzip", "gzip;q=0.5", "br, gzip"])
@pytest.mark.parametrize("rows", [100, 20_000])
def test_compressed_answers(zoo: Path, coding: str, rows: int) -> None:
    body = json.dumps({"inputs": [{**X, "shape": [rows, 3], "data": [0.5] * 3 * rows}]}).encode()

    async def test(desk: Desk) -> None:
        status, headers, got = await desk.ask(body, ("Accept-Encoding", coding))
        assert status == 200 and got["outputs"][0]["data"] == [1.0] * 3 * rows
        assert headers["content-encoding"] == ("deflate" if coding == "deflate" else "gzip")
        assert headers["vary"] == "accept-encoding"
        for refused in ("gzip;q=0", "gzip; q=0.000", "br", "identity", ""):
            _, headers, _ = await desk.ask(body, ("Accept-Encoding", refused))
            assert "content-encoding" not in headers
        _, headers, _ = await desk.ask(PLAIN, ("Accept-Encoding", coding))
        assert "content-encoding" not in headers  # too small to be worth it

    at(zoo, test)


@pytest.mark.parametrize("size", [LIMIT + 1, 256 << 20])
def test_decompression_bombs(zoo: Path, size: int) -> None:
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = (
        b"".join(machine.compress(bytes(1 << 20)) for _ in range(size >> 20)) + machine.compress(b" ") + machine.flush()
    )
    assert len(bomb) < 1 << 20

    async def test(desk: Desk) -> None:
        status, _, got = await desk.ask(bomb, ("Content-Encoding", "gzip"))
        assert status == 413 and got == {"error": f"the decompressed body is larger than {LIMIT} bytes"}

    at(zoo, test)


def test_a_coding_that_is_not_spoken_says_which_are(zoo: Path) -> None:
    async def test(desk: Desk) -> None:
        status, headers, got = await desk.ask(PLAIN, ("Content-Encoding", "br"))
        assert status == 501 and headers["accept-encoding"] == "gzip, deflate" and "'br'" in got["error"]

    at(zoo, test)


# -- large bodies are decoded on a thread


def test_a_large_body_is_decoded_apart(zoo: Path) -> None:
    rows = 100_000
    body = json.dumps({"inputs": [{**X, "shape": [rows, 3], "data": [0.5] * 3 * rows}]}).encode()
    assert len(body) > 1 << 20

    async def test(desk: Desk) -> None:
        large = desk.send(body)
        status, _, small = await desk.ask(PLAIN)
        assert status == 200 and small["outputs"][0]["data"] == [2, 4, 6]
        status, _, raw = await large.got
        assert status == 200 and json.loads(raw)["outputs"][0]["shape"] == [rows, 3]
        status, _, got = await desk.ask(body[:-1])
        assert status == 400 and "not JSON" in got["error"]
        gone = desk.send(body)
        gone.closed = True
        unloaded = desk.send(body)
        (model,) = desk.repository.withdraw("double", "unloaded")
        status, _, raw = await unloaded.got
        assert status == 503 and json.loads(raw)["error"] == "model 'double' is not ready: unloaded"
        assert not gone.got.done()
        assert (model.statistics.success_count, model.statistics.fail_count) == (2, 1)

    at(zoo, test)


# -- answers


def test_ids_binary_outputs_and_statistics(zoo: Path) -> None:
    async def test(desk: Desk) -> None:
        _, _, got = await desk.ask(json.dumps({"id": "a", "inputs": [X]}).encode())
        assert got["id"] == "a" and got["model_version"] == "1"
        body = json.dumps({"inputs": [X], "parameters": {"binary_data_output": True}}).encode()
        status, headers, raw = await desk.ask(body)
        length = int(headers["inference-header-content-length"])
        assert (status, headers["content-type"]) == (200, "application/octet-stream")
        assert np.frombuffer(raw[length:], "<f4").tolist() == [2, 4, 6]
        status, _, _ = await desk.ask(np.array([1, 2, 3], "<f4").tobytes(), ("Inference-Header-Content-Length", "0"))
        assert status == 200
        for wrong in ("-1", "1.5", "x", "", "9" * 19, "\u00b2"):
            status, _, got = await desk.ask(PLAIN, ("Inference-Header-Content-Length", wrong))
            assert status == 400 and "Inference-Header-Content-Length is" in got["error"]
        statistics = desk.repository.find("double").statistics
        assert (statistics.success_count, statistics.fail_count) == (3, 6)

    at(zoo, test)


def test_classification(zoo: Path) -> None:
    async def test(desk: Desk) -> None:
        asked = {"name": "y", "parameters": {"classification": 2}}
        _, _, got = await desk.ask(json.dumps({"inputs": [X], "outputs": [asked]}).encode())
        (output,) = got["outputs"]
        assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
        assert output["data"] == ["6.000000:2", "4.000000:1"]
        none = {**X, "shape": [0, 3], "data": []}
        status, _, got = await desk.ask(json.dumps({"inputs": [none], "outputs": [asked]}).encode())
        assert status == 200 and got["outputs"][0]["shape"] == [0, 2]

    at(zoo, test)


def test_a_form_in_use_and_out_of_it(zoo: Path) -> None:
    """The short way and the long way take turns and say the same."""

    async def test(desk: Desk) -> None:
        for i in range(30):
            values = [i, 0.5, -1]
            for body in (
                json.dumps({"inputs": [{**X, "data": values}]}),
                json.dumps({"inputs": [{**X, "data": values}], "z": 0}),
                json.dumps({"id": "7", "inputs": [{**X, "data": [values]}]}),
            ):
                status, _, got = await desk.ask(body.encode())
                assert status == 200 and got["outputs"][0]["data"] == [2 * i, 1, -2]
                assert got.get("id") == ("7" if '"id"' in body else None)
        for wrong in ([1, 2], [1, 2, "x"], [1, 2, 1e39]):
            status, _, got = await desk.ask(json.dumps({"inputs": [{**X, "data": wrong}]}).encode())
            assert status == 400 and "input 'x'" in got["error"]
        _, _, got = await desk.ask(
            b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [NaN, 1, 2]}]}'
        )
        assert np.isnan(got["outputs"][0]["data"][0])
        assert desk.repository.find("double").forms.like is not None

    at(zoo, test)


class Odd:
    """Answers what no wire can carry."""

    signature = Signature((TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "FP32", (-1, 3)),))

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        return [np.zeros(3, np.complex64)]

    def close(self) -> None: ...


def test_an_answer_that_cannot_be_written(zoo: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(desk: Desk) -> None:
        model = desk.add("odd", Session(Package.bare(zoo / "double.onnx", "odd"), Odd()))
        for _ in range(2):
            status, _, got = await desk.ask(PLAIN, path="/v2/models/odd/infer")
            assert status == 500 and got == {
                "error": "model 'odd': its answer could not be written; see the server's log"
            }
        assert model.statistics.fail_count == 2

    with caplog.at_level(logging.CRITICAL):
        at(zoo, test)


def test_when_the_pool_is_gone_nobody_waits(zoo: Path) -> None:
    # read on the loop, while its answer is more than is compressed there
    tensor = {**X, "shape": [10_000, 3], "data": [5] * 30_000}
    body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()

    async def test(desk: Desk) -> None:
        model = desk.repository.find("double")
        model.dispatch.batch_ns = model.batcher.max_rows = 0  # one run, on the loop, however slow this machine is
        waiting = desk.send(body, ("Accept-Encoding", "gzip"))
        desk.pool.shutdown()
        status, headers, _ = await asyncio.wait_for(waiting.got, 20)
        assert status == 200 and b"content-encoding" not in dict(headers)
        status, _, got = await desk.ask(body + b" " * (1 << 20))
        assert status == 503 and "stopping" in got["error"]

    at(zoo, test)


LARGE = b" " * (1 << 20)
NO_CYCLES: dict[str, tuple[bytes, list[tuple[str, str]], str]] = {
    "good": (PLAIN, [], PATH),
    "good and large": (PLAIN + LARGE, [], PATH),
    "not json": (b"{", [], PATH),
    "not json and large": (b"{" + LARGE, [], PATH),
    "does not fit": (PLAIN.replace(b"FP32", b"INT8"), [], PATH),
    "does not fit and large": (PLAIN.replace(b"FP32", b"INT8") + LARGE, [], PATH),
    "a bomb": (gzip.compress(bytes(LIMIT + 1)), [("Content-Encoding", "gzip")], PATH),
    "damaged": (b"x" * 5000, [("Content-Encoding", "gzip")], PATH),
    "nested": (b"[" * 5000, [], PATH),
    "no such model": (PLAIN, [], "/v2/models/none/infer"),
    "the engine fails": (
        json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [9]}]}).encode(),
        [],
        "/v2/models/lookup/infer",
    ),
}


@pytest.mark.parametrize("name", NO_CYCLES)
def test_no_request_is_kept_by_a_cycle(zoo: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """An exception that refers to itself keeps the body until the collector comes, which is seldom."""
    body, headers, path = NO_CYCLES[name]
    caplog.set_level(logging.CRITICAL)  # capturing the log leaves cycles of its own

    async def test(desk: Desk) -> None:
        gc.freeze()  # all that other tests have imported: to look through it took seconds
        gc.disable()
        try:
            await desk.ask(body, *headers, path=path)
            gc.collect()
            for _ in range(20):
                await desk.ask(body, *headers, path=path)
            assert gc.collect() < 20
        finally:
            gc.enable()
            gc.unfreeze()

    at(zoo, test)


def test_a_large_answer_is_written_on_a_thread(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And equals what is written on the loop; a fault there is told like one here."""
    tensor = {**X, "shape": [10_000, 3], "data": list(range(30_000))}
    body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    threads: set[str] = set()
    encode = Core._encode

    def noted(self: Core, *args: Any) -> Any:
        threads.add(threading.current_thread().name)
        return encode(self, *args)

    def broken(self: Core, *args: Any) -> Any:
        raise ZeroDivisionError("secret")

    async def test(desk: Desk) -> None:
        monkeypatch.setattr(Core, "_encode", noted)
        status, _, got = await desk.ask(body)
        assert status == 200 and got["outputs"][0]["data"] == [2.0 * i for i in range(30_000)]
        assert not any(name.startswith("MainThread") for name in threads) and len(threads) == 1
        monkeypatch.setattr(Core, "_encode", broken)
        status, _, got = await desk.ask(body)
        assert status == 500 and "its answer could not be written" in got["error"] and "secret" not in got["error"]

    at(zoo, test)
