"""A server without keys and the pages of a browser, over its sockets: HTTP/1, HTTP/2, and a script that allows one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.access import HTTP
from starlette.routing import Route

import gantline

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Frames

BODY = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
EVIL = "Origin: https://evil.example"
LOAD = "/v2/repository/models/double/load"


def test_every_route_that_changes_or_tells_something(server: Running) -> None:
    """All of them, as the router has them."""
    asked = 0
    for route in server.stack.app.routes:
        assert isinstance(route, Route)
        path = route.path.format(name="double", version="1", region="r", script="page", label="stable")
        for method in sorted((route.methods or set()) & {"GET", "POST"}):
            make = server.post(path, b"{}", EVIL) if method == "POST" else server.get(path, EVIL)
            (answer,) = server.ask(make)
            assert (answer.status == 403) is not HTTP[route.path].pages, (method, path, answer)
            asked += answer.status == 403
    assert asked > 30
    for path in ("/v2/models/double", "/v2/repository/index"):  # they are all as before
        assert server.ask(server.post(path, b"{}") if "index" in path else server.get(path))[0].status == 200


def test_a_page_of_another_site_changes_nothing(server: Running) -> None:
    before = server.stack.collector.denials.forbidden
    for words in ((EVIL,), ("Sec-Fetch-Site: cross-site",), ("Origin: null", "Content-Type: text/plain")):
        (answer,) = server.ask(server.post("/v2/repository/models/double/unload", b"{}", *words))
        assert answer.status == 403 and "www-authenticate" not in answer.headers
        assert "may neither change nor read what a server without keys has" in answer.json()["error"]
    for spelling in ("/v2/repository/models/double/%75nload", "http://localhost/v2/repository/models/double/unload"):
        assert server.ask(server.post(spelling, b"{}", EVIL))[0].status == 403
    assert server.ask(server.post("/v2/models/double/infer", BODY))[0].status == 200
    own = f"Origin: http://localhost:{server.port}"
    raw = server.post(LOAD, b"{}", own).replace(b"Host: localhost", f"Host: localhost:{server.port}".encode())
    assert server.ask(raw)[0].status == 200
    assert server.stack.collector.denials.forbidden == before + 5
    lines = server.ask(server.get("/metrics"))[0].body.decode().splitlines()
    assert f'gantline_denied_total{{reason="forbidden"}} {before + 5}' in lines


def test_a_name_that_was_made_to_point_here(server: Running) -> None:
    for host, status in (("evil.example:8000", 403), ("127.0.0.1", 200), ("[::1]:1", 200), ("a.localhost", 200)):
        raw = server.post(LOAD, b"{}").replace(b"Host: localhost", f"Host: {host}".encode())
        assert server.ask(raw)[0].status == status
    raw = server.get("/v2/models/double").replace(b"Host: localhost", b"Host: evil.example")
    assert server.ask(raw)[0].status == 200


def test_a_page_may_have_answers_computed(server: Running) -> None:
    """It cannot read them: no header allows it to (ARCHITECTURE.md)."""
    for path in ("/v2/models/double/infer", "/v2/models/%64ouble/infer"):  # the hot road and the slow one
        (answer,) = server.ask(server.post(path, BODY, EVIL))
        assert answer.status == 200 and not any(name.startswith("access-control") for name in answer.headers)


def test_over_http2(servers: Callable[..., Running], zoo: Path, speak: Callable[..., Frames]) -> None:
    server = servers(zoo / "double.onnx", front="h2")
    frames = speak(server)
    for stream, more, status in ((1, [("origin", "https://evil.example")], 403), (3, [], 200)):
        frames.send(frames.head(stream, LOAD, *more), frames.data(stream, b"{}", True))
        assert frames.reply(stream).status == status


@pytest.fixture
def allowing(tmp_path: Path, servers: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> Running:
    """A script that a page may call, as Azure's variable allows it."""
    monkeypatch.setenv("AML_CORS_ORIGINS", "https://a.example")
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): return 1\n")
    package = gantline.package(script=tmp_path / "score.py", name="one", env="current", output=tmp_path / "one.pkg")
    return servers(package.path)


def test_what_a_script_allows_stays_allowed(allowing: Running) -> None:
    page = ("Origin: https://a.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors")
    for raw in (allowing.post("/score", b"1", *page), allowing.get("/score", *page), allowing.get("/", *page)):
        (answer,) = allowing.ask(raw)
        assert answer.status == 200 and answer.headers["access-control-allow-origin"] == "https://a.example"
    asking = allowing.get("/score", *page, "Access-Control-Request-Method: POST", method="OPTIONS")
    (answer,) = allowing.ask(asking)
    assert answer.status == 200 and answer.headers["access-control-allow-origin"] == "https://a.example"
    (answer,) = allowing.ask(allowing.post("/v2/repository/models/one/unload", b"{}", *page))
    assert answer.status == 403 and json.loads(answer.body)["error"].startswith("a web page of 'https://a.example' ")
