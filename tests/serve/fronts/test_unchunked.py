"""Answers without a length to clients of HTTP/1.0: plain bytes up to the connection's end, over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running

STREAM = "/v2/models/double/generate_stream"


@pytest.mark.parametrize("rows", [1, 500])
def test_events_come_without_chunks(server: Running, rows: int) -> None:
    raw = server.post(STREAM, {"x": [[1, 2, 3]] * rows})
    (chunked,) = server.ask(raw)
    assert chunked.headers["transfer-encoding"] == "chunked"
    head, _, body = server.talk(raw.replace(b"HTTP/1.1", b"HTTP/1.0"), half_close=False).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"\r\nconnection: close" in head
    assert b"transfer-encoding" not in head and b"content-length" not in head
    assert body == chunked.body and body.endswith(b"\n\n")


def test_answers_with_a_length_are_as_they_were(server: Running) -> None:
    for raw in (server.get("/v2"), server.get("/docs"), server.get("/v2", method="HEAD")):
        one = server.talk(raw.replace(b"HTTP/1.1", b"HTTP/1.0"), half_close=False)
        assert one.startswith(b"HTTP/1.1 200 ") and b"content-length: " in one
        assert (one.partition(b"\r\n\r\n")[2] == b"") is raw.startswith(b"HEAD")
