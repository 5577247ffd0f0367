"""Our own request and response, held to Werkzeug's for what they share."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.accelerators.script.raw import Headers, Request, Response, is_json, request_of
from werkzeug.wrappers import Request as Theirs
from werkzeug.wrappers import Response as TheirResponse

HEADERS = [("Content-Type", "application/json"), ("Host", "h"), ("X-A", "1")]
CASES: list[tuple[str, str, bytes]] = [
    ("POST", "", b'{"a": 1}'), ("GET", "a=1&a=2&b=%C3%BC&c=", b""), ("PUT", "x", b"\xff"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "query", "body"), CASES)
def test_requests_agree(method: str, query: str, body: bytes) -> None:
    theirs: Any = request_of(method, "/score", query, HEADERS, body)
    assert isinstance(theirs, Theirs)
    ours = Request(method, "/score", query, HEADERS, body)
    names = ["method", "path", "data", "content_type", "mimetype", "is_json", "query_string", "content_length"]
    for name in [*names, "url"] if "%" not in query else names:  # Werkzeug shows url unquoted
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.args.to_dict(flat=False) == theirs.args.to_dict(flat=False)
    assert ours.args.get("a") == theirs.args.get("a")
    assert ours.headers.get("x-a") == theirs.headers.get("x-a") == "1"
    assert ours.get_data() == theirs.get_data()
    assert ours.get_json(silent=True) == theirs.get_json(silent=True)


def test_what_it_lacks_says_what_to_install() -> None:
    with pytest.raises(AttributeError, match="add werkzeug to the package's requirements"):
        _ = Request("POST", "/", "", [], b"").files


def test_json_is_refused_for_another_type() -> None:
    request = Request("POST", "/", "", [("Content-Type", "text/plain")], b"1")
    assert request.get_json(silent=True) is None and request.get_json(force=True) == 1
    with pytest.raises(ValueError, match="application/json"):
        request.get_json()


def test_responses_agree() -> None:
    told: list[dict[str, Any]] = [
        {}, {"mimetype": "application/json"}, {"content_type": "image/png"}, {"headers": {"Content-Type": "a/b"}},
    ]  # fmt: skip
    for words in told:
        ours, theirs = Response("ü", 201, **words), TheirResponse("ü", 201, **words)
        assert ours.status_code == theirs.status_code and ours.get_data() == theirs.get_data()
        if words:
            assert ours.headers.get("Content-Type") == theirs.headers.get("Content-Type")
    ours = Response([b"a", "b"])
    assert ours.data == b"ab"
    ours.data = "c"
    assert ours.get_data(as_text=True) == "c"


def test_headers() -> None:
    headers = Headers([("A", "1")])
    headers.add("a", 2)
    assert headers.getlist("A") == ["1", "2"] and headers["a"] == "1" and "A" in headers and len(headers) == 2
    headers["A"] = "3"
    assert list(headers.items()) == [("A", "3")]
    with pytest.raises(KeyError):
        headers["b"]


def test_json_types() -> None:
    assert is_json("application/json") and is_json("application/x+json") and not is_json("text/json")
