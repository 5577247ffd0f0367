"""Returned values as bodies."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gantline.accelerators.script.answers import (
    chunk_of,
    head_of_response,
    header_block,
    is_response,
    of_response,
    to_json,
)
from gantline.accelerators.script.channel import OWN_HEADERS
from gantline.accelerators.script.raw import Response


@dataclasses.dataclass
class Point:
    x: float
    inner: Any = None


@pytest.mark.parametrize("value", [3, "a", [1, 2.5, None], {"a": {"b": [True]}}, "ü€", float("nan"), {1: 2}, (1, 2)])
def test_json_is_what_json_dumps_says(value: Any) -> None:
    assert to_json(value) == json.dumps(value).encode()


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, b"{}"),
        (np.arange(4).reshape(2, 2), b"[[0, 1], [2, 3]]"),
        (np.float32(0.5), b"0.5"),
        ({"a": np.bool_(True)}, b'{"a": true}'),
        (np.array(["a", "b"]), b'["a", "b"]'),
        (np.array(["2024-01-02"], "datetime64[D]"), b'["2024-01-02"]'),
        (Point(1.5, Point(2.0)), b'{"x": 1.5, "inner": {"x": 2.0, "inner": null}}'),
        (datetime.datetime(2024, 1, 2, 3, 4, 5), b'"2024-01-02T03:04:05"'),
        ([datetime.date(2024, 1, 2), datetime.time(3, 4)], b'["2024-01-02", "03:04:00"]'),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), b'[{"a": 1, "b": "x"}, {"a": 2, "b": null}]'),
        (pd.DataFrame({"t": pd.to_datetime(["2024-01-02"])}), b'[{"t": "2024-01-02T00:00:00.000"}]'),
        (pd.Series([1.5, float("nan")]), b"[1.5, null]"),
        (pd.Index(["a", "b"]), b'["a", "b"]'),
        ({"na": pd.NA}, b'{"na": null}'),
    ],
)
def test_beyond_json(value: Any, body: bytes) -> None:
    assert to_json(value) == body


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", 1j, Point])
def test_what_has_no_json_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_json(value)


def test_responses_are_told_by_what_they_offer() -> None:
    response = Response("busy", 503, {"Retry-After": "5"})
    assert is_response(response) and not is_response({"status_code": 1})
    flags, status, meta, body = of_response(response)
    assert (flags, status, body) == (OWN_HEADERS, 503, b"busy")
    assert meta.split(b"\n") == [
        b"Retry-After:5", b"Content-Type:text/html; charset=utf-8", b"x-ms-run-function-failed:True",
    ]  # fmt: skip
    assert head_of_response(Response("x", 200))[1] == b"Content-Type:text/html; charset=utf-8"


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(ValueError, match="line break"):
        header_block([("X", "a\nSet-Cookie: b")])


def test_chunks() -> None:
    assert chunk_of("ü") == ("text/plain; charset=utf-8", "ü".encode())
    assert chunk_of(b"x") == ("application/octet-stream", b"x")
    assert chunk_of(np.arange(2)) == ("application/x-ndjson", b"[0, 1]\n")
