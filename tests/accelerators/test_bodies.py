"""How two bodies compare: JSON by structure and number, everything else byte for byte."""

from __future__ import annotations

import json
import math

import pytest
from gantline.accelerators.bodies import compare, parsed

DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("want", "got"),
    [
        (b'{"a": 1, "b": [1.5, null]}', b'{"b":[1.50001,null],"a":1}'),
        (b"[0.0]", b"[9e-7]"),
        (b"[1]", b"[1.00001]"),
        (b"[NaN, Infinity]", b"[NaN,Infinity]"),
        (b"1e400", b"2e400"),
        (b"plain text", b"plain text"),
        (DEEP, DEEP),
    ],
)
def test_what_agrees(want: bytes, got: bytes) -> None:
    problem, _, max_rel = compare(want, got, 1e-4, 1e-6)
    assert problem == "" and max_rel <= 1e-4


@pytest.mark.parametrize(
    ("want", "got", "said"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.1]}, "$.a[1]: expected 2.0, got 2.1"),
        ({"a b": {"c": "x"}}, {"a b": {"c": "y"}}, '$["a b"].c: expected "x", got "y"'),
        ([100_001], [100_002], "$[0]: expected 100001, got 100002"),  # whole numbers may be labels
        ([True], [1], "$[0]: expected true, got 1"),
        ([True], [1.0], "$[0]: expected true, got 1.0"),
        ([1.0], ["1.0"], '$[0]: expected 1.0, got "1.0"'),
        ([1.0], [math.nan], "$[0]: expected 1.0, got NaN"),
        ([0.0], [1e-3], "$[0]: expected 0.0, got 0.001"),
        ([10**400], [1.5], "$[0]: expected 1000"),
        ({"a": 1}, {}, "$.a: missing"),
        ({}, {"a": 1}, "$.a: not in the answer that was recorded"),
        ([1, 2], [1], "$: expected 2 elements, got 1"),
        ({"a": []}, {"a": {}}, "$.a: expected [], got {}"),
        (None, False, "$: expected null, got false"),
    ],
)
def test_the_first_place_that_differs(want: object, got: object, said: str) -> None:
    problem, _, max_rel = compare(json.dumps(want).encode(), json.dumps(got).encode(), 1e-4, 1e-6)
    assert problem.startswith(said) and max_rel > 1e-4


def test_other_bodies() -> None:
    assert compare(b"abc", b"abd", 1.0, 1.0)[0] == "byte 2 of the answer differs (3 bytes expected, got 3)"
    assert compare(b"\x00abc", b"\x00ab", 1.0, 1.0)[0].startswith("byte 3 ")
    assert compare(b"[1]", b"<html>", 1.0, 1.0)[0] == "the answer is not JSON any longer: '<html>'"
    assert parsed(b"null") == (None,) and parsed(b"\xff") is None and parsed(DEEP) is None


def test_the_largest_error_is_told() -> None:
    problem, max_abs, max_rel = compare(b"[1.0, 10.0, 5]", b"[1.0, 10.0005, 5]", 1e-4, 0.0)
    assert problem == "" and max_abs == pytest.approx(5e-4) and max_rel == pytest.approx(5e-5)
