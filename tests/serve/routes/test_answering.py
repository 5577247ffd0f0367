"""What every slow V2 endpoint does alike: errors as JSON, documents in, JSON out."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import zlib
from typing import Any

import pytest
from gantline.serve.routes.answering import document, get, json_response, post
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from gantline.errors import NotFound

LIMIT = 100


async def echo(request: Request) -> Response:
    return json_response(await document(request, LIMIT))


async def lost(request: Request) -> Response:
    raise NotFound("no such thing")


async def broken(request: Request) -> Response:
    raise ZeroDivisionError("secret")


APP = Starlette(routes=[post("/echo", echo), get("/lost", lost), get("/broken", broken)])


async def ask(method: str, path: str, *messages: Message, coding: str = "") -> tuple[int, Any]:
    """Status and document of one request, spoken in ASGI."""
    waiting, sent = list(messages or [{"type": "http.request", "body": b""}]), []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-encoding", coding.encode())] if coding else []
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "root_path": "", "scheme": "http", "server": None, "client": None,
    }  # fmt: skip
    await APP(scope, receive, send)
    body = b"".join(m.get("body", b"") for m in sent)
    return sent[0]["status"], json.loads(body) if body else None


def body(data: bytes) -> Message:
    return {"type": "http.request", "body": data, "more_body": False}


def run(*arguments: Any, coding: str = "") -> tuple[int, Any]:
    return asyncio.run(ask(*arguments, coding=coding))


def test_documents() -> None:
    assert run("POST", "/echo", body(b'{"a": 1}')) == (200, {"a": 1})
    assert run("POST", "/echo", body(b" \n")) == (200, {})
    assert run("POST", "/echo", body(b"[1]")) == (400, {"error": "the body must be a JSON object, or empty"})
    assert run("POST", "/echo", body(b"{"))[0] == 400
    assert run("POST", "/echo", body(b" " * (LIMIT + 1)))[0] == 413


def test_documents_that_are_compressed() -> None:
    text = b'{"a": 1}'
    for coding, data in (("gzip", gzip.compress(text)), ("deflate", zlib.compress(text)), ("identity", text)):
        assert run("POST", "/echo", body(data), coding=coding) == (200, {"a": 1})
    status, said = run("POST", "/echo", body(gzip.compress(b" " * (LIMIT + 1))), coding="gzip")
    assert (status, said) == (413, {"error": f"the decompressed body is larger than {LIMIT} bytes"})
    assert run("POST", "/echo", body(text), coding="gzip")[0] == 400
    assert run("POST", "/echo", body(text), coding="br")[0] == 501


def test_errors_have_their_status_and_show_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    assert run("GET", "/lost") == (404, {"error": "no such thing"})
    with caplog.at_level(logging.ERROR, "gantline.http"):
        assert run("GET", "/broken") == (500, {"error": "internal error; see the server's log"})
    assert "secret" in caplog.text


def test_a_client_that_leaves_while_it_sends() -> None:
    assert run("POST", "/echo", {"type": "http.disconnect"}) == (400, None)
