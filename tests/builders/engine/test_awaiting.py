"""Waiting for a server, and the reason why one did not come."""

from __future__ import annotations

import pytest
from gantline.builders.engine.awaiting import announced, ready, reason, until, url

from gantline.errors import DeadlineExceeded, Unavailable
from tests.conftest import Starting


def test_ready(starting: Starting, iris_package: object) -> None:
    with starting(str(iris_package)) as told:
        host, port = told["url"].removeprefix("http://").split(":")
        until(lambda: ready(host, int(port)), 30, lambda: False, lambda: "", "it")
        # another answers where it was to answer
        with pytest.raises(Unavailable, match="ended before it was ready"):
            until(lambda: ready(host, int(port)), 30, lambda: True, lambda: "", "it")


def test_ended_or_late() -> None:
    log = "starting\ngantline serve: error: /models/x: no such model\nbye\n"
    with pytest.raises(Unavailable, match=r"^it: ended before it was ready: gantline serve: error: /models/x: no such"):
        until(lambda: False, 30, lambda: True, lambda: log, "it")
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0 s; --wait-s .*: its log is empty$"):
        until(lambda: ready("127.0.0.1", 1), 0, lambda: False, lambda: "", "it")


def test_announced() -> None:
    told = '{"url": "http://127.0.0.1:1", "models": [{"name": "iris"}], "failed": []}'
    assert announced(f"loading\n{told}\n") and not announced(told[:-4]) and not announced('{"url": "", "models": []}')


def test_reason() -> None:
    assert reason("a\n\nb\nc\nd\n") == "b | c | d"


def test_url() -> None:
    assert [url(h, 1) for h in ("0.0.0.0", "::", "box")] == ["http://127.0.0.1:1", "http://[::1]:1", "http://box:1"]
