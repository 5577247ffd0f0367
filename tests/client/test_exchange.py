"""Calls as bytes, and every status as the error that it means."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest

from gantline import errors
from gantline.client.exchange import (
    Answer,
    Call,
    clean_headers,
    compressed,
    decoded,
    infer_call,
    infer_result,
    json_call,
    json_result,
    key_header,
    model_path,
    raise_for,
    score_call,
    score_result,
    signature_of,
)

URL = "http://a:1"


def test_paths_are_quoted() -> None:
    assert model_path("m") == "/v2/models/m"
    assert model_path("a b/ü", "2", "infer") == "/v2/models/a%20b%2F%C3%BC/versions/2/infer"


def test_infer_call_in_json() -> None:
    call = infer_call("m", "", {"x": np.array([[1.5]], np.float32)}, None, False, "7", {"p": 1}, 0)
    assert call.headers == (("content-type", "application/json"),)
    assert json.loads(call.body) == {
        "id": "7",
        "parameters": {"p": 1},
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.5]}],
    }


def test_infer_call_in_binary() -> None:
    call = infer_call("m", "3", {"x": np.array([1, 2], np.int16)}, ["y"], True, None, None, 4)
    headers = dict(call.headers)
    length = int(headers["inference-header-content-length"])
    document = json.loads(call.body[:length])
    assert call.body[length:] == b"\x01\0\x02\0" and headers["content-type"] == "application/octet-stream"
    assert document["inputs"][0]["parameters"] == {"binary_data_size": 4}
    assert document["outputs"] == [{"name": "y", "parameters": {"binary_data": True, "classification": 4}}]


def test_an_array_that_v2_cannot_carry() -> None:
    with pytest.raises(errors.BadRequest, match="complex64 has no V2 datatype"):
        infer_call("m", "", {"x": np.zeros(1, np.complex64)}, None, True, None, None, 0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest), (401, errors.Denied), (403, errors.Denied), (404, errors.NotFound),
        (405, errors.BadRequest),
        (413, errors.TooLarge), (429, errors.Unavailable), (500, errors.EngineFailed), (501, errors.Unsupported),
        (503, errors.Unavailable), (504, errors.DeadlineExceeded), (302, errors.Unsupported),
    ],
)  # fmt: skip
def test_statuses(status: int, kind: type[errors.GantlineError]) -> None:
    body = json.dumps({"error": "the model 'm' says no"}).encode()
    with pytest.raises(errors.GantlineError, match=r"^the model .m. says no$") as raised:
        raise_for(Answer(status, {}, body), URL)
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "Scoring timeout after 3 ms"}', "Scoring timeout after 3 ms"),
        (b'{"error": "Not Found"}', "http://a:1 answered 418: Not Found"),
        (b"<html>\nproxy\n</html>", "http://a:1 answered 418: <html> proxy </html>"),
        (b"", "http://a:1 answered 418"),
        (b"[1]", "http://a:1 answered 418: [1]"),
        (b'{"error": "two\\nlines of text, and more"}', "two lines of text, and more"),
    ],
)
def test_error_texts(body: bytes, message: str) -> None:
    with pytest.raises(errors.BadRequest) as raised:
        raise_for(Answer(418, {}, body), URL)
    assert raised.value.message == message


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"not json", {}),
        (b"[]", {}),
        (b'{"outputs": 3}', {}),
        (b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1]}]}', {}),
        (b'{"outputs": []}', {"inference-header-content-length": "x"}),
    ],
)
def test_answers_that_are_not_v2(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(errors.BadArtefact, match="not a V2 infer answer"):
        infer_result(Answer(200, headers, body), URL)


def test_json_results() -> None:
    assert json_result(Answer(200), URL) is None
    assert json_result(Answer(200, {}, b'{"a": 1}'), URL) == {"a": 1}
    with pytest.raises(errors.BadArtefact, match="the answer is not JSON"):
        json_result(Answer(200, {}, b"<p>"), URL)
    assert json_call("GET", "/v2") == Call("GET", "/v2")


@pytest.mark.parametrize(
    ("body", "sent"), [(b"\x00raw", b"\x00raw"), ("text", b"text"), ({"a": [1]}, b'{"a": [1]}'), (3, b"3")]
)
def test_score_bodies(body: Any, sent: bytes) -> None:
    call = score_call(body, "score", "application/json")
    assert (call.path, call.body, call.repeatable) == ("/score", sent, False)


def test_score_results() -> None:
    headers = {"content-type": "application/json"}
    assert score_result(Answer(200, headers, b'"x"'), URL) == "x"
    assert score_result(Answer(200, {"content-type": "text/plain"}, b"x"), URL) == b"x"
    with pytest.raises(errors.ScriptFailed, match="unexpected error occurred"):
        score_result(Answer(500, headers, b'{"message": "An unexpected error occurred in scoring script."}'), URL)


def test_compression_both_ways() -> None:
    call = Call("POST", "/x", b"a" * 5000)
    small = compressed(call)
    assert dict(small.headers)["content-encoding"] == "gzip" and gzip.decompress(small.body) == call.body
    assert compressed(Call("POST", "/x", b"a")).headers == ()
    for coding, body in (("gzip", gzip.compress(b"abc")), ("deflate", zlib.compress(b"abc"))):
        assert decoded(Answer(200, {"content-encoding": coding}, body), URL).body == b"abc"
    with pytest.raises(errors.BadArtefact, match="damaged"):
        decoded(Answer(200, {"content-encoding": "gzip"}, b"abc"), URL)
    with pytest.raises(errors.Unsupported, match="'br' was not asked for"):
        decoded(Answer(200, {"content-encoding": "br"}, b"abc"), URL)


def test_headers() -> None:
    assert clean_headers({"Authorization": "Bearer k"}) == (("authorization", "Bearer k"),)
    for bad in ({"a b": "c"}, {"": "c"}, {"a": "b\r\nc: d"}, {"a": "ü"}):
        with pytest.raises(errors.UsageError, match="header"):
            clean_headers(bad)


def test_a_key_is_one_header(monkeypatch: pytest.MonkeyPatch) -> None:
    other = (("x-other", "1"),)
    monkeypatch.delenv("GANTLINE_KEY", raising=False)
    assert key_header(None, None, other) == other
    assert key_header("abc", "http://a", other) == (*other, ("authorization", "Bearer abc"))
    monkeypatch.setenv("GANTLINE_KEY", "from-the-environment")
    assert key_header(None, None, ()) == (("authorization", "Bearer from-the-environment"),)
    assert key_header(None, "http://another.example", ()) == ()  # it may be another's server
    assert key_header("", None, ()) == ()
    for bad in ("a b", "a\n", "\u00e9"):
        with pytest.raises(errors.UsageError, match="visible ASCII") as caught:
            key_header(bad, None, ())
        assert bad not in caught.value.message
    for name in ("authorization", "x-api-key"):
        with pytest.raises(errors.UsageError, match="have one already"):
            key_header("abc", None, ((name, "def"),))


def test_who_was_denied_is_told_apart() -> None:
    for status, known in ((401, False), (403, True)):
        with pytest.raises(errors.Denied) as caught:
            raise_for(Answer(status, {}, b'{"error": "this is what the server said"}'), "http://a")
        assert caught.value.known is known and caught.value.message == "this is what the server said"


def test_metadata_that_is_none() -> None:
    with pytest.raises(errors.BadArtefact, match="not V2 model metadata"):
        signature_of({"inputs": [{"name": "x"}], "outputs": []}, URL)
