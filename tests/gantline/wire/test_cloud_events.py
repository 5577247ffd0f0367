"""CloudEvents: which requests are some, what is in them, and the event that answers one."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest

from gantline.errors import BadRequest, Unsupported
from gantline.wire.cloud_events import BINARY, FOREIGN, STRUCTURED, answer, message_in, mode_of

MARKS = {b"ce-specversion", b"ce-id", b"ce-source", b"ce-type"}
EVENT: dict[str, Any] = {"specversion": "1.0", "id": "7", "source": "s", "type": "t", "data": {"instances": [1]}}
NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content_type", "attributes", "mode"),
    [
        (b"application/json", set(), ""),
        (b"", MARKS, BINARY),
        (b"application/json", MARKS | {b"ce-time", b"ce-own"}, BINARY),
        (b"application/json", MARKS - {b"ce-id"}, ""),
        (b"application/cloudevents+json", set(), STRUCTURED),
        (b"Application/CloudEvents+JSON; charset=utf-8", MARKS, STRUCTURED),
        (b"application/cloudevents-batch+json", set(), FOREIGN),
        (b"application/cloudevents+avro", set(), FOREIGN),
        (b"application/cloud", set(), ""),
    ],
)
def test_what_is_an_event(content_type: bytes, attributes: set[bytes], mode: str) -> None:
    assert mode_of(content_type, attributes) == mode


def test_what_is_in_one() -> None:
    assert message_in(b'{"instances":[1]}', BINARY, "1.0") == {"instances": [1]}
    assert message_in(json.dumps(EVENT).encode(), STRUCTURED) == {"instances": [1]}
    packed = {k: v for k, v in EVENT.items() if k != "data"} | {"data_base64": base64.b64encode(b"[1]").decode()}
    assert message_in(json.dumps(packed).encode(), STRUCTURED) == [1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": None}, 'no "id"'),
        ({"id": ""}, 'no "id"'),
        ({"type": 3}, 'no "type"'),
        ({"specversion": "2.0"}, "specversion is none of 1.0 and 0.3"),
        ({"data": ...}, 'neither "data" nor "data_base64"'),
        ({"data": ..., "data_base64": "?"}, "not base64"),
        ({"data": ..., "data_base64": "e30"}, "not base64"),
        ({"data": ..., "data_base64": "ew=="}, "not JSON"),
        ({"data": ..., "data_base64": 7}, "neither"),
    ],
)
def test_what_is_wrong_with_one(change: dict[str, Any], said: str) -> None:
    event = {k: v for k, v in (EVENT | change).items() if v is not ...}
    with pytest.raises(BadRequest, match=said) as caught:
        message_in(json.dumps(event).encode(), STRUCTURED)
    assert "\n" not in caught.value.message


def test_bodies_that_are_none() -> None:
    for body in (b"[]", b"3", b"", b"{"):
        with pytest.raises(BadRequest):
            message_in(body, STRUCTURED)
    with pytest.raises(BadRequest, match="specversion"):
        message_in(b"{}", BINARY, "9")
    with pytest.raises(Unsupported, match="one at a time and as JSON"):
        message_in(b"[]", FOREIGN)


def test_the_answer() -> None:
    headers, body = answer(b'{"predictions":[NaN]}', STRUCTURED, "m", "8", NOW)
    assert headers == [(b"content-type", b"application/cloudevents+json")]
    assert body.endswith(b',"data":{"predictions":[NaN]}}')
    told = json.loads(body)
    assert {k: v for k, v in told.items() if k != "data"} == {
        "specversion": "1.0", "id": "8", "source": "io.kserve.inference.m", "type": "io.kserve.inference.response",
        "time": "2026-05-06T07:08:09+00:00", "datacontenttype": "application/json",
    }  # fmt: skip
    headers, body = answer(b"{}", BINARY, 'ä "%\u20ac', "8", NOW)
    found = dict(headers)
    assert body == b"{}" and found.keys() == MARKS | {b"ce-time", b"content-type"}
    assert found[b"content-type"] == b"application/json" and found[b"ce-time"] == b"2026-05-06T07:08:09+00:00"
    assert found[b"ce-source"] == b"io.kserve.inference.%C3%A4%20%22%25%E2%82%AC"
    assert unquote(found[b"ce-source"].decode()) == 'io.kserve.inference.ä "%\u20ac'
