"""Which worker has a sequence, and what another does with a request of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.serve import affinity
from gantline.serve.affinity import Affinity
from gantline.serve.exchange import Head
from gantline.serve.ticket import Ticket

from gantline.errors import BadRequest, GantlineError, Unavailable
from gantline.request import Request
from gantline.tensors import Array

Found = list[tuple[list[Array] | None, GantlineError | None]]


def ticket(found: Found, *headers: tuple[bytes, bytes]) -> Ticket:
    request = Request({"x": np.array([[1.5]], np.float32)}, "a model", "3", parameters={"sequence_id": 7})
    nobody: Any = None
    head = Head(b"POST", b"/", b"", list(headers))
    return Ticket(request, 1, "k", ("y",), head, nobody, lambda t, o, e: found.append((o, e)), None)


def test_alone_everything_is_here() -> None:
    assert Affinity().elsewhere(5) == Affinity().elsewhere("five") == 0


def test_each_sequence_has_one_worker(tmp_path: Path) -> None:
    workers = [Affinity() for _ in range(3)]
    for i, one in enumerate(workers, 1):
        assert one.join(tmp_path, i, 3) == tmp_path / f"worker-{i}"
    for sequence in (1, 2, 3, 2**40, "a", "b", "ä"):
        found = [one.elsewhere(sequence) or i for i, one in enumerate(workers, 1)]
        assert len(set(found)) == 1
    assert {workers[0].elsewhere(n) for n in range(9)} == {0, 2, 3}


def test_a_bound_of_the_server_is_divided(tmp_path: Path) -> None:
    assert Affinity().share(7) == 7
    for most, parts in ((7, [3, 2, 2]), (6, [2, 2, 2]), (1, [1, 1, 1])):
        workers = [Affinity() for _ in range(3)]
        for i, one in enumerate(workers, 1):
            one.join(tmp_path, i, 3)
        assert [one.share(most) for one in workers] == parts


def at(tmp_path: Path, answer: Callable[[bytes], bytes], test: Callable[[Affinity], Any]) -> list[bytes]:
    """Beside a worker 2 that gives these bytes for each request; what it was sent."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
                seen.append(head + await reader.readexactly(length))
                if not (data := answer(seen[-1])):
                    return
                writer.write(data)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def run() -> None:
        one = Affinity()
        one.join(tmp_path, 1, 2)
        server = await asyncio.start_unix_server(serve, tmp_path / "worker-2")
        async with server:
            await test(one)
            one.close()

    asyncio.run(run())
    return seen


def json_answer(status: int, document: Any, *headers: str) -> bytes:
    body = json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def asked(one: Affinity, *headers: tuple[bytes, bytes]) -> tuple[list[Array] | None, GantlineError | None]:
    found: Found = []
    one.forward(ticket(found, *headers), 2)
    await asyncio.wait_for(asyncio.gather(*one._tasks), 20)
    ((outputs, error),) = found
    return outputs, error


def test_a_request_goes_there_and_its_answer_comes_back(tmp_path: Path) -> None:
    output = {"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [2.5]}

    async def test(one: Affinity) -> None:
        for _ in range(2):
            outputs, error = await asked(one, (b"x-api-key", b"secret"), (b"cookie", b"no"))
            assert error is None and outputs is not None and outputs[0].tolist() == [[2.5]]
        assert len(one._idle[2]) == 1

    first, _ = at(tmp_path, lambda _: json_answer(200, {"outputs": [output]}), test)
    assert first.startswith(b"POST /v2/models/a%20model/versions/3/infer HTTP/1.1\r\n")
    assert b"x-api-key: secret" in first and b"cookie" not in first and b'"sequence_id":7' in first


def test_its_errors_are_told_as_they_are(tmp_path: Path) -> None:
    async def test(one: Affinity) -> None:
        _, error = await asked(one)
        assert type(error) is BadRequest and error.message == "sequence 7 is not open"

    at(tmp_path, lambda _: json_answer(400, {"error": "sequence 7 is not open"}, "connection: close"), test)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort"])
def test_a_worker_that_dies_meanwhile(tmp_path: Path, data: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    async def run() -> None:
        one = Affinity()
        one.join(tmp_path, 1, 2)
        async with await asyncio.start_unix_server(serve, tmp_path / "worker-2"):
            _, error = await asked(one)
            assert isinstance(error, Unavailable) and "cannot be reached" in error.message

    asyncio.run(run())


def test_nobody_there(tmp_path: Path) -> None:
    async def run() -> None:
        one = Affinity()
        one.join(tmp_path, 1, 2)
        _, error = await asked(one)
        assert isinstance(error, Unavailable) and "model 'a model': the worker that has the sequence" in error.message

    asyncio.run(run())


def test_how_many_are_elsewhere_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "MAX_FORWARDED", 1)

    async def run() -> None:
        one = Affinity()
        one.join(tmp_path, 1, 2)
        found: Found = []
        one.forward(ticket(found), 2)
        with pytest.raises(Unavailable, match="1 requests are with other workers"):
            one.forward(ticket(found), 2)
        await asyncio.gather(*one._tasks)

    asyncio.run(run())
