"""Forms of MLflow's messages: the short way reads and writes what the long way does, or leaves it to that one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadRequest
from gantline.signature import Signature, TensorSpec
from gantline.wire.mlflow import Kind, decode
from gantline.wire.mlflow_forms import scoring_form
from gantline.wire.tabular import Table

SIGNATURES = {
    "matrix": Signature((TensorSpec("X", "FP32", (-1, 2)),), ()),
    "vector": Signature((TensorSpec("X", "FP64", (-1,)),), ()),
    "whole": Signature((TensorSpec("X", "INT8", (-1, 1)),), ()),
}
BODIES = (
    b'{"inputs": [[1.5, 2.5]]}',
    b'{"instances": [1.5, 2.5], "params": {"x": [1]}}',
    b' {"dataframe_split" : {"columns":["a","b"], "data" : [[1.5, 2.5]], "index": [0]}}',
    b'{"instances": [1, 2]}',
    b'{"inputs": [[1], [2]]}',
    b'{"inputs": [[1.5, 2.5], [3.5, 4.5]]}',
)
LISTS = (
    "[[0.5, 1.5]]", "[0.5, 1.5]", "[[1, 2]]", "[[1], [2]]", "[[0.5, 1.5], [2.5, 3.5]]", "[[[0.5, 1.5]]]", "[]", "[[]]",
    "[[0.5, null]]", "[[0.5, true]]", '[[0.5, "a"]]', "[[1e39, 1.0]]", "[[0.5, 1.5], [2.5]]", "[[NaN, 0.5]]",
    "[3, 4]", "[300]", "[[300]]", "[0.5]", "{}", "3", "[[0.5, 1.5]], \"inputs\": [[0.5, 1.5]]", "[[0.5, 1.5]",
)  # fmt: skip


def long(body: bytes, signature: Signature, columns: tuple[str, ...] = ()) -> Any:
    return decode(body, Kind(), Table(signature, columns), signature, "m")


@pytest.mark.parametrize("kind", SIGNATURES)
@pytest.mark.parametrize("body", BODIES)
def test_the_short_way_says_what_the_long_way_says(kind: str, body: bytes) -> None:
    signature = SIGNATURES[kind]
    try:
        request = long(body, signature)
    except BadRequest:
        return
    form = scoring_form(body, request)
    assert form is not None
    np.testing.assert_array_equal(form.read(body), request.inputs["X"])
    for other in LISTS:
        changed = form.prefix + other.encode() + form.suffix
        short = form.read(changed)
        if short is not None:
            want = long(changed, signature).inputs["X"]
            assert short.dtype == want.dtype
            np.testing.assert_array_equal(short, want)


@given(st.lists(st.floats() | st.integers() | st.none(), min_size=2, max_size=2))
def test_any_row(row: list[Any]) -> None:
    signature = SIGNATURES["matrix"]
    form = scoring_form(BODIES[0], long(BODIES[0], signature))
    assert form is not None
    body = form.prefix + json.dumps([row]).encode() + form.suffix
    short = form.read(body)
    if short is not None:
        np.testing.assert_array_equal(short, long(body, signature).inputs["X"])


@pytest.mark.parametrize("word", ["data", "inputs"])
def test_a_list_of_the_params_is_never_taken_for_the_models(word: str) -> None:
    body = b'{"instances": [[1.5, 2.5]], "params": {"%s": [[7.5, 8.5]]}}' % word.encode()
    request = long(body, SIGNATURES["matrix"])
    assert next(iter(request.inputs.values())).tolist() == [[1.5, 2.5]]
    form = scoring_form(body, request)
    assert form is None or form.read(body.replace(b"7.5", b"9.5")) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": {"X": [[1.5, 2.5]]}}',
        b'{"dataframe_split": {"columns": ["b", "a"], "data": [[1.5, 2.5]]}}',
        b'{"dataframe_split": {"columns": ["a", "b", "data"], "data": [[1.5, 2.5, 3.5]]}}',
        b'{"dataframe_records": [{"a": 1.5, "b": 2.5}]}',
        b'{"inputs": [[1.5, 2.5]], "x": "inputs", "y": "\\u00e4"}',
        '{"inputs": [[1.5, 2.5]], "x": "ä"}'.encode(),
        b'{"inputs": [[1.5, 2.5]], "inputs": [[1.5, 2.5]]}',
        b'{"inputs": [[1.5, 2.5]], "params": {"inputs": 1}}',
        b'{"inputs": [[1.5, 2.5]], "params": {"x": NaN}}',
        b'{"instances": [[1.5, 2.5]], "data": [[7.5, 8.5]]}',
        b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 2.5]]}, "data": 1}',
    ],
)
def test_bodies_that_have_no_form(body: bytes) -> None:
    assert scoring_form(body, long(body, SIGNATURES["matrix"], ("a", "b"))) is None
