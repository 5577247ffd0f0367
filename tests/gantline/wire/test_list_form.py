"""The one list of a body: found where its key is, and read where it is nested as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gantline.wire.list_form import MAX_BYTES, ListForm, around

BODY = b'{"a": 1, "rows" : [[1.5, 2.5]], "b": []}'


def form(written: list[int] | None, shape: list[int], datatype: str = "FP32") -> ListForm:
    found = around(BODY, b'"rows"')
    assert found is not None
    return ListForm(found, "x", datatype, shape, written, "as it was")


def body(rows: str) -> bytes:
    return BODY.replace(b"[[1.5, 2.5]]", rows.encode())


def test_a_body_is_taken_apart() -> None:
    found = around(BODY, b'"rows"')
    assert found is not None and found.prefix + b"[[1.5, 2.5]]" + found.suffix == BODY
    assert (found.values, found.rest) == ([[1.5, 2.5]], {"a": 1, "rows": [], "b": []})


@pytest.mark.parametrize(
    "other",
    [
        b'{"rows": 1}', b'{"rows"}', b'{"a": "rows"}', b'{"a": "rows", "b": [1]}', b'{"rows": [1], "a": "rows"}',
        b'{"rows": [1], "a": "\\n"}', b'{"rows": [1', b'{"rows": [1]} x', b'{"rows": [1], "a": NaN}', b"[]", b"",
        '{"rows": [1], "a": "ä"}'.encode(), b'{"rows": ' + b"[" * 5000 + b"}", b'{"rows": {"a": [1]}}',
        b'{"rows": [1], "a": "' + b"a" * MAX_BYTES + b'"}',
    ],
)  # fmt: skip
def test_bodies_that_have_no_such_list(other: bytes) -> None:
    assert around(other, b'"rows"') is None


@pytest.mark.parametrize(
    ("written", "shape", "good", "bad"),
    [
        ([1, 2], [1, 2], ["[[3.5,4.5]]", "[[3,4]]", "[[null,4]]"], ["[3.5,4.5]", "[[3.5]]", "[[[3.5,4.5]]]", "[]"]),
        ([2], [2, 1], ["[3.5,4.5]", "[3,4]"], ["[[3.5,4.5]]", "[3.5]", "[[3.5],[4.5]]"]),
        ([1, 2], [1, 2, 1], ["[[3.5,4.5]]"], ["[[[3.5],[4.5]]]"]),
        ([2, 4], [2, 2, 2], ["[[1,2,3,4],[5,6,7,8]]"], ["[1,2,3,4,5,6,7,8]", "[[1,2,3,4],[5,6,7]]"]),
        (None, [1, 2], ["[3.5,4.5]", "[[3.5,4.5]]", "[3,4]"], ["[3.5]", "[[3.5],[4.5]]", "[true,1.5]", "[1e39,1.5]"]),
    ],
)
def test_lists_are_read_as_they_were_nested(
    written: list[int] | None, shape: list[int], good: list[str], bad: list[str]
) -> None:
    one = form(written, shape)
    assert one.asked == "as it was"
    for rows in good:
        found = one.read(body(rows))
        assert found is not None and found.shape == tuple(shape) and found.dtype == np.float32, rows
        wanted = np.array(json.loads(rows), np.float32).reshape(shape)
        np.testing.assert_array_equal(found, wanted)
    for rows in (*bad, "3", "{}", "[[3.5,4.5]", '[["a","b"]]', '[1,2], "c": [3]'):
        assert one.read(body(rows)) is None, rows
    assert one.read(BODY[1:]) is None and one.read(BODY[:-1]) is None
