"""The serving program put together: what a request passes, and what answers where nothing matches."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.app import build_stack
from gantline.serve.repository_layout import find_entries
from gantline.serve.routes import answering
from starlette.requests import Request
from starlette.responses import Response

from gantline.settings import ServeSettings, resolve

if TYPE_CHECKING:
    from tests.serve.conftest import Running


def test_the_parts_know_each_other(zoo: Path) -> None:
    async def build() -> None:
        stack = build_stack(resolve(ServeSettings, {"max_body_bytes": "1000"}, {}), find_entries([str(zoo)]))
        assert stack.front.handler(b"/v2/models/double/infer") is None
        await stack.loader.load_all()
        assert stack.front.handler(b"/v2/models/double/infer") == stack.core.infer
        assert stack.core.max_body == stack.front.max_body_bytes == 1000
        stack.drain()
        assert stack.front.draining and stack.readiness.draining
        await stack.loader.close()
        assert stack.front.handler(b"/v2/models/double/infer") is None
        stack.close()

    asyncio.run(build())


def test_what_matches_nothing_is_answered_in_json(server: Running) -> None:
    paths = (
        "/nothing",
        "/v2/",
        "/v2/models",
        "/v2/models/double/nothing",
        "/v1/models",
        "/score",
        "/v2/models/double/",
    )
    for answer in server.ask(b"".join(server.get(p) for p in paths)):
        assert answer.status in (200, 404, 405)
        assert (answer.status == 200) != ("error" in answer.json() or "message" in answer.json())
    for method in ("PUT", "PATCH", "TRACE"):
        (answer,) = server.ask(server.get("/v2", method=method))
        assert answer.status == 405 and answer.json() == {"error": "Method Not Allowed"}


def test_a_script_that_waits_does_not_keep_models_from_running(servers: Callable[..., Running], zoo: Path) -> None:
    """What waits has threads of its own: here they are all taken, by loads that do not end."""
    server = servers(zoo / "double.onnx")
    release = threading.Event()
    waiting = server.stack.pools[1]
    stuck = [waiting.submit(release.wait) for _ in range(100)]
    model = server.on_loop(lambda: server.stack.repository.find("double"))
    model.dispatch.batch_ns = 10**12  # so it runs on a thread
    body = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    assert server.ask(server.post("/v2/models/double/infer", body))[0].status == 200
    assert model.dispatch.thread_batches == 1
    release.set()
    for one in stuck:
        one.result(20)


def test_a_route_that_raises_is_answered_in_json(
    servers: Callable[..., Running], zoo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = servers(zoo / "double.onnx")

    async def broken(request: Request) -> Response:
        raise ValueError("secret")

    server.stack.app.router.routes.insert(0, answering.get("/v2/broken", broken))
    with caplog.at_level(logging.CRITICAL):
        answers = server.ask(server.get("/v2/broken") + server.get("/v2/health/live"))
    assert [a.status for a in answers] == [500, 200]
    assert answers[0].json() == {"error": "internal error; see the server's log"}
