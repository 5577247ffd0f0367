"""Heads that are refused, and in whose words: one host for each request, and each face's own error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Held

PATH = "/v2/models/double/infer"


def test_limits_are_told_in_the_words_of_each_face(servers: Callable[..., Running]) -> None:
    server = servers(max_body_bytes=1000, default="double", body_timeout_s=0.1)
    words = {PATH: {"error"}, "/score": {"message"}, "/v1/models/double:predict": {"error"}}
    words |= {path: {"error_code", "message"} for path in ("/invocations", "/models/double/invoke")}
    with ExitStack() as stack:
        stopped = {path: stack.enter_context(server.connect()) for path in words}
        for path, s in stopped.items():
            s.sendall(server.post(path, b" " * 10)[:-1])
        for path, wanted in words.items():
            answers = server.ask(server.post(path, b" " * 1001), half_close=False)
            answers += server.answers(server.read_all(stopped[path]))
            assert [a.status for a in answers] == [413, 408]
            assert all(set(a.json()) == wanted for a in answers), path
            assert all(("x-ms-run-function-failed" in a.headers) is (path == "/score") for a in answers)


@pytest.mark.parametrize(("lines", "said"), [([], "no Host header,"), (["Host: a", "host: a"], "2 Host headers,")])
@pytest.mark.parametrize("path", [PATH, "/v2/repository/index"])
def test_a_request_names_one_host(server: Running, held: Held, lines: list[str], said: str, path: str) -> None:
    raw = "\r\n".join([f"POST {path} HTTP/1.1", *lines, "Content-Length: 2"]).encode() + b"\r\n\r\n{}"
    answers = server.ask(server.get("/v2") + raw + server.post("/test/hold", b""), half_close=False)
    assert [a.status for a in answers] == [200, 400] and said in answers[1].json()["error"]
    assert held.requests == []


def test_hosts_that_are_enough(server: Running) -> None:
    for raw in (b"GET /v2 HTTP/1.0\r\n\r\n", b"GET /v2 HTTP/1.1\r\nHost:\r\n\r\n"):
        assert [a.status for a in server.ask(raw)] == [200]
