"""Azure's headers, bodies and documents, as pure functions; the real server is asked in conformance/."""

from __future__ import annotations

import json
import re

import pytest

from gantline.wire.azure import (
    Exchanged,
    Service,
    Swagger,
    cors_headers,
    error_body,
    header_lines,
    merged,
    new_id,
    own_headers,
    timeout_message,
    took_header,
)

PLAIN = {"type": "object", "example": {}}


def test_ids_are_version_four_and_differ() -> None:
    ids = {new_id().decode() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids)


@pytest.mark.parametrize(
    ("sent", "request_id", "legacy", "client"),
    [
        ({}, None, None, b""),
        ({"x-request-id": "r"}, b"r", b"r", b""),
        ({"x-ms-request-id": "l"}, None, b"l", b"l"),
        ({"x-ms-client-request-id": "c"}, None, b"c", b"c"),
        ({"x-request-id": "r", "x-ms-request-id": "l", "x-ms-client-request-id": "c"}, b"r", b"l", b"c"),
    ],
)
def test_ids(sent: dict[str, str], request_id: bytes | None, legacy: bytes | None, client: bytes) -> None:
    found = Exchanged([(k.encode(), v.encode()) for k, v in sent.items()])
    assert found.request_id == (request_id or found.request_id) and found.request_id
    assert found.legacy_id == (legacy or found.request_id)
    assert found.client_request_id == client and not found.refused


def test_an_id_over_a_hundred_characters_is_refused() -> None:
    found = Exchanged([(b"x-request-id", b"x" * 101), (b"traceid", b"t")])
    assert found.refused == "x-request-id must not exceed 100 characters"
    assert found.headers(b"") == [(b"traceid", b"t")]
    found = Exchanged([(b"x-ms-request-id", b"x" * 101)])
    assert "x-ms-client-request-id must not exceed 100" in found.refused
    assert [k for k, _ in found.headers(b"s")] == [b"x-ms-server-version", b"x-request-id"]


def test_a_scripts_headers_are_kept_but_for_the_connections_and_ids() -> None:
    own = own_headers(b"Content-Type:image/png\nContent-Length:3\nX-Request-Id:mine\nX-Two: a\nX-Two:b:c\nDate:x")
    assert own == [(b"content-type", b"image/png"), (b"x-request-id", b"mine"), (b"x-two", b"a"), (b"x-two", b"b:c")]
    common = Exchanged([(b"x-request-id", b"theirs")]).headers(b"")
    assert (b"x-request-id", b"mine") not in merged(own, common) and (b"x-request-id", b"theirs") in merged(own, common)


@pytest.mark.parametrize(
    ("origins", "asked", "allowed", "vary"),
    [
        ((), b"https://a", None, False),
        (("https://a",), b"https://a", b"https://a", False),
        (("https://a",), b"https://b", None, False),
        (("https://b", "https://a"), b"https://B", b"https://B", True),
        (("https://b", "https://a"), None, b"https://a", True),
        (("*",), b"https://x", b"https://x", True),
        (("*",), None, b"*", False),
    ],
)
def test_cors(origins: tuple[str, ...], asked: bytes | None, allowed: bytes | None, vary: bool) -> None:
    headers = [(b"origin", asked)] if asked else []
    found = dict(cors_headers(origins, Exchanged(headers), b"POST", headers))
    assert found.get(b"access-control-allow-origin") == allowed
    assert (b"vary" in found) == vary


def test_preflight() -> None:
    headers = [(b"origin", b"https://a"), (b"access-control-request-method", b"POST"),
               (b"access-control-request-headers", b"x-b, x-a")]  # fmt: skip
    found = dict(cors_headers(("https://a",), Exchanged(headers), b"OPTIONS", headers))
    assert found[b"access-control-allow-methods"] == b"GET, POST"
    assert found[b"access-control-allow-headers"] == b"x-a, x-b"


def test_swagger() -> None:
    schema = {"input": PLAIN, "output": PLAIN, "versions": ["3.0", "3.1"]}
    swagger = Swagger(Service("s", "7", "/a/b/"), schema, {"swagger3.1.json": {"mine": 1}})
    assert swagger.find(None) == (404, error_body(
        "Swagger version [2] is not supported for the scoring script. Supported swagger versions: [3, 3.1]."
    ))  # fmt: skip
    assert swagger.find("4")[0] == 404
    three = json.loads(swagger.find("3.0")[1])
    assert three["openapi"] == "3.0.3" and list(three["paths"]) == ["/a/b/", "/a/b/score", "/a/b/swagger.json"]
    assert json.loads(swagger.find("3.1")[1]) == {"mine": 1}
    both = Swagger(Service(), {**schema, "versions": ["2.0"]}, {"swagger.json": {"a": 1}, "swagger2.json": {"b": 2}})
    assert json.loads(both.find("2.0")[1]) == {"a": 1}
    assert both.find("3")[0] == 404


def test_small_things() -> None:
    assert error_body('a "b"') == b'{"message": "a \\"b\\""}'
    assert timeout_message(300) == "Scoring timeout after 300 ms"
    assert took_header(12_345) == (b"x-ms-run-fn-exec-ms", b"0.012")
    assert header_lines([(b"a", b"1"), (b"a_b", b"2"), (b"c", b"x:y")]) == b"a:1\nc:x:y"
