"""Chunks that say how large they will be: what is too large is refused before it comes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()
HOT, SLOW = "/v2/models/double/infer", "/v2/models/%64ouble/infer"


def head(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


@pytest.mark.parametrize("path", [HOT, SLOW])
@pytest.mark.parametrize(
    "chunk",
    [
        b"ffffffffffffffff\r\n",
        b"FFFFFFFFFFFFFFFF;a=b\r\nxyz",
        b"5\r\nabcde\r\n4000001\r\n",
        b"00007fffffffffffffff\r\n{",
    ],
)
def test_a_chunk_beyond_the_limit_is_refused_at_once(server: Running, path: str, chunk: bytes) -> None:
    for pieces in ((head(path) + chunk,), (head(path), chunk)):  # with the head, or after it
        with server.connect() as s:
            for piece in pieces:
                s.sendall(piece)
            answer = server.read_answer(s)
        assert answer.status == 413 and answer.json()["error"] == "the body is larger than 67108864 bytes"


@pytest.mark.parametrize("path", [HOT, SLOW])
def test_every_split_of_chunks_within_the_limit_is_read(server: Running, path: str) -> None:
    half = len(BODY) // 2
    chunks = b"%x;a=ffffffff\r\n%s\r\n%x\r\n%s\r\n" % (half, BODY[:half], len(BODY) - half, BODY[half:])
    raw = head(path) + chunks + b"0\r\nffffffff: ffffffff\r\n\r\n"  # trailers are no sizes
    with server.connect() as s:
        for at in range(len(head(path)), len(raw)):
            s.sendall(raw[:at])
            s.sendall(raw[at:])
            answer = server.read_answer(s)
            assert answer.status == 200 and answer.json()["outputs"][0]["data"] == [2, 4, 6], raw[:at]


def test_a_chunk_that_looks_like_sizes_is_none(server: Running) -> None:
    """What is in a chunk is not read as one, wherever it is cut."""
    text = b"ffffffffffffffff\r\n" * 5
    raw = head(HOT) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text)
    with server.connect() as s:
        for at in range(len(head(HOT)) + 1, len(raw)):
            s.sendall(raw[:at])
            s.sendall(raw[at:])
            assert server.read_answer(s).status == 400  # it is not JSON
