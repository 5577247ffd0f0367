"""Every route and every gRPC method, in odd spellings, with keys that may not: nobody gets past the gate.

A spelling may be answered as if nothing were there, since it may mean no route; never as the route answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.access import HTTP
from gantline.serve.keys import Role
from gantline.serve.rpc.gate import RULES
from starlette.routing import Route

from tests.serve.key_table import BOSS, SCORER, SOME, key_table, write_keys

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running
    from tests.serve.fronts.conftest import Frames

FILE = key_table("lookup")
WRONG = [None, "unknown-to-everybody-here", BOSS[:-1], BOSS + "x", BOSS.upper(), ""]
TURNED_AWAY = (400, 401, 403)  # 400: it is not HTTP


pytestmark = pytest.mark.slow  # thousands of requests each


@pytest.fixture(scope="module")
def guarded(servers: Callable[..., Running], zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server on whose port both versions of HTTP, and gRPC, are spoken."""
    path = write_keys(tmp_path_factory.mktemp("keys"), FILE)
    yield servers(zoo / "double.onnx", zoo / "lookup.onnx", keys=path, front="h2", keyless="nothing")


def spellings(path: str) -> list[str]:
    """The same path for whoever decodes, folds or normalises it; and some that are none."""
    letters = "".join(f"%{ord(c):02x}" if c.isalnum() else c for c in path)
    last = path[:-1] + f"%{ord(path[-1]):02X}" if path != "/" else path
    return [
        path, letters, last, path + "/", path + "//", "/" + path, path.replace("/", "//"), path.replace("/", "/./"),
        "/x/.." + path, path + "/.", path + "/..", path + "?", path + "?a=/v2/health/live", path + "#x", path + ";x",
        path + "%00", path + "%20", path + "%2F", path + "%2f..", path.replace("/", "%2f"), path.replace("/", "\\"),
        path.upper(), path.title(), path.replace("/", "/%2e/"), "/v2/health/live/.." + path,
        "/v2/health/live%2f.." + path, path.replace("%", "%25"), letters.replace("%", "%25"),
        path + "%0d%0aX-Api-Key:x",
        "http://localhost" + path, "HTTP://other.example:1" + path, "http://localhost/" + path, "//localhost" + path,
        path.lstrip("/") or "*", "*", "",
    ]  # fmt: skip


def named(route: Route, model: str) -> str:
    return route.path.format(name=model, version="1", region="r", script="page", label="stable")


def key(secret: str | None) -> tuple[str, ...]:
    return () if secret is None else (f"X-Api-Key: {secret}",)


def ask(server: Running, method: str, path: str, *headers: str) -> Answer:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "Content-Length: 2", "Connection: close"]
    return server.ask("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n{}")[0]


def routes(server: Running) -> list[Route]:
    found = [r for r in server.stack.app.routes if isinstance(r, Route)]
    assert {r.path for r in found} == set(HTTP)
    return found


def test_nobody_without_a_key_in_any_spelling(guarded: Running) -> None:
    for route in routes(guarded):
        for path in spellings(named(route, "double")):
            for method in ("GET", "POST"):
                assert ask(guarded, method, path).status in TURNED_AWAY, (method, path)


def test_no_wrong_key_by_any_method(guarded: Running) -> None:
    for route in routes(guarded):
        path = named(route, "double")
        for secret in WRONG:
            for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
                assert ask(guarded, method, path, *key(secret)).status in TURNED_AWAY, (method, path, secret)
    for headers in (
        (f"Authorization: Basic {BOSS}",), (f"Authorization: {BOSS}",), (f"Authorization: Bearer{BOSS}",),
        (f"Authorization: Bearer {BOSS} x",), (f"X-Api-Key: Bearer {BOSS}",), (f"X_Api_Key: {BOSS}",),
        (f"Cookie: x-api-key={BOSS}",), ("X-Api-Key: wrong-wrong-wrong-wrong", f"X-Api-Key: {BOSS}"),
        ("X-Forwarded-For: 127.0.0.1",),
    ):  # fmt: skip
        assert ask(guarded, "GET", "/v2", *headers).status == 401, headers


def test_no_scorer_administers_in_any_spelling(guarded: Running) -> None:
    """What is not turned away was found to be no route at all: 404 and 405 are told to whoever has a key."""
    for route in routes(guarded):
        if HTTP[route.path].role is not Role.ADMIN:
            continue
        for secret in (SCORER, SOME):
            for path in spellings(named(route, "double")):
                for method in ("GET", "POST"):
                    answer = ask(guarded, method, path, *key(secret))
                    assert answer.status in (*TURNED_AWAY, 404, 405), (method, path, answer)
    assert ask(guarded, "POST", "/v2/models/double/infer", *key(SCORER)).status == 400  # it is still loaded


def test_no_other_model_in_any_spelling(guarded: Running) -> None:
    """With a key for some models, neither another one nor what is about all of them."""
    for route in routes(guarded):
        if "{name}" not in route.path and not HTTP[route.path].every:
            continue
        for path in spellings(named(route, "double")):
            for method in ("GET", "POST"):
                answer = ask(guarded, method, path, *key(SOME))
                # "//localhost/..." and the like may name a model that is not there, but none that is
                assert answer.status in (*TURNED_AWAY, 404, 405), (method, path, answer)
    assert ask(guarded, "GET", "/v2/models/lookup", *key(SOME)).status == 200


def test_http2_paths(guarded: Running, speak: Callable[..., Frames]) -> None:
    for route in routes(guarded):
        frames = speak(guarded)
        stream = -1
        for path in spellings(named(route, "double")):
            if not path.startswith("/"):
                continue  # below
            stream += 2
            frames.send(frames.head(stream, path), frames.data(stream, b"{}", True))
            assert frames.reply(stream).status in TURNED_AWAY, path
        frames.close()


@pytest.mark.parametrize("path", ["", "*", "v2", "http://localhost/v2", "//localhost/v2"])
def test_http2_paths_that_are_none(guarded: Running, speak: Callable[..., Frames], path: str) -> None:
    """A connection error, a stream error or a refusal, but no answer."""
    frames = speak(guarded)
    frames.send(frames.head(1, path, end=True))
    while (frame := frames.read()) is not None and frame.stream_id != 1:
        pass
    if frame is not None and type(frame).__name__ == "HeadersFrame":
        assert frames.reply(1).status in TURNED_AWAY


def test_every_grpc_method(guarded: Running, speak: Callable[..., Frames]) -> None:
    """By path as it is and oddly; 12 is UNIMPLEMENTED, 7 and 16 are refusals."""
    for method, (rule, _) in RULES.items():
        frames = speak(guarded)
        stream = -1
        odd = [method.lower(), method + "/", "/" + method, method.replace("/", "//"), method[:-1] + "%" + method[-1]]
        for path, secret, allowed in (
            *((method, s, ("16",)) for s in WRONG),
            *((p, None, ("12", "16")) for p in odd),
            *(((method, SCORER, ("7",)), (method, SOME, ("7",))) if rule.role is Role.ADMIN else ()),
            *(((method, SOME, ("7",)),) if rule.every else ()),
        ):
            stream += 2
            more = () if secret is None else (("x-api-key", secret),)
            frames.send(frames.rpc(stream, path, *more), frames.data(stream, frames.message(b""), True))
            reply = frames.reply(stream)
            found = reply.trailers.get("grpc-status") or reply.headers.get("grpc-status")
            assert found in allowed, (path, secret, found)
        frames.close()


def test_it_is_the_keys_that_keep_them_off(guarded: Running) -> None:
    """The same requests with the admin's key are answered: the tests above could fail."""
    statuses = [ask(guarded, "GET", named(r, "double"), *key(BOSS)).status for r in routes(guarded)]
    assert 401 not in statuses and 403 not in statuses and statuses.count(200) > 15
    assert json.loads(ask(guarded, "GET", "/v2", *key(BOSS)).body)["name"] == "gantline"
