"""The slow road on HTTP/2."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import pytest
from hyperframe.frame import RstStreamFrame
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Frames


@pytest.fixture
def route(h2: Running) -> Callable[..., None]:
    def add(path: str, endpoint: object) -> None:
        routes = h2.stack.app.router.routes
        routes.insert(0, Route(path, endpoint, methods=["GET", "POST"]))  # type: ignore[arg-type]

    return add


def test_what_is_not_hot_is_answered_by_the_application(frames: Frames) -> None:
    frames.send(frames.head(1, "/v2/health/ready", method="GET", end=True))
    frames.send(frames.head(3, "/v2/repository/index"), frames.data(3, b"", True))
    frames.send(frames.head(5, "/none", method="GET", end=True), frames.head(7, "/v2", method="HEAD", end=True))
    frames.send(frames.head(9, "/v2/models/double/infer", method="GET", end=True))
    frames.send(frames.head(11, "/v2/models/caf\xe9", method="GET", end=True))
    assert frames.reply(1).status == 200 and {m["name"] for m in json.loads(frames.reply(3).body)} >= {"double"}
    assert frames.reply(5).status == 404 and frames.reply(9).status == 405 and frames.reply(11).status == 404
    assert frames.reply(7).body == b"" and int(frames.reply(7).headers["content-length"]) > 0


def test_the_scope_and_the_body(frames: Frames, route: Callable[..., None]) -> None:
    async def endpoint(request: Request) -> Response:
        said = [request.scope[k] for k in ("http_version", "method", "path", "raw_path", "query_string", "scheme")]
        body = await request.body()
        return PlainTextResponse(" ".join(map(str, [*said, len(body)])), headers={"connection": "close", "x-kept": "1"})

    route("/test/scope/{x}", endpoint)
    frames.send(
        frames.head(1, "/test/scope/a%20b?c=d"), frames.data(1, bytes(10_000)), frames.data(1, bytes(10_000), True)
    )
    reply = frames.reply(1)
    assert reply.body == b"2 POST /test/scope/a b b'/test/scope/a%20b' b'c=d' http 20000"
    assert reply.headers["x-kept"] == "1" and "connection" not in reply.headers


def test_an_application_that_streams(frames: Frames, route: Callable[..., None]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for i in range(100):
            yield b"%04d" % i * 1000

    async def endpoint(_: Request) -> Response:
        return StreamingResponse(pieces())

    route("/test/stream", endpoint)
    frames.send(frames.head(1, "/test/stream", method="GET", end=True))
    assert frames.reply(1).body == b"".join(b"%04d" % i * 1000 for i in range(100))
    frames.send(frames.head(3, "/test/stream", method="HEAD", end=True))
    assert frames.reply(3).status == 405 or frames.reply(3).body == b""


def test_an_application_that_fails(frames: Frames, route: Callable[..., None]) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"half"
        raise ValueError("an answer that breaks off")

    async def late(_: Request) -> Response:
        return StreamingResponse(breaks())

    async def early(_: Request) -> Response:
        raise ValueError("a fault in an endpoint")

    route("/test/late", late)
    route("/test/early", early)
    frames.send(frames.head(1, "/test/late", method="GET", end=True))
    frames.send(frames.head(3, "/test/early", method="GET", end=True))
    assert frames.reply(1).reset == 2 and frames.reply(3).status == 500


def test_an_application_hears_that_its_client_has_left(h2: Running, frames: Frames, route: Callable[..., None]) -> None:
    left: list[bool] = []
    cut: list[bool] = []

    async def waits(request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left.append(True)
        return Response()

    async def reads(request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnect:
            cut.append(True)
            raise
        return Response()

    route("/test/waits", waits)
    route("/test/reads", reads)
    frames.send(frames.head(1, "/test/waits", method="GET", end=True), frames.head(3, "/test/reads"))
    frames.ping()
    frames.send(RstStreamFrame(1, 8), RstStreamFrame(3, 8))
    frames.ping()
    h2.until(lambda: bool(left and cut))
