"""Fitting a sample to a signature: names, stacking, shapes, casts and what the errors say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadRequest, UsageError
from gantline.fitting import UNNAMED, by_name, cast, fit, rows, select
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

OUT = (TensorSpec("y", "FP32", (-1, 1)),)
MATRIX = Signature((TensorSpec("X", "FP32", (-1, 3)),), OUT)
COLUMNS = Signature((TensorSpec("age", "FP32", (-1, 1)), TensorSpec("city", "BYTES", (-1, 1))), OUT)


def _objects(*values: object) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out


@pytest.mark.parametrize(
    "sample",
    [
        {"a": np.array([1, 4]), "b": np.array([2.0, 5.0]), "c": np.array([3, 6], np.int8)},
        {UNNAMED: np.array([[1, 2, 3], [4, 5, 6]])},
        {"other": np.array([[1, 2, 3], [4, 5, 6]], np.float64)},
        {"X": np.array([[1, 2, 3], [4, 5, 6]], np.float32)},
        {UNNAMED: np.array([["1", "2", "3"], ["4", "5", "6"]])},
    ],
)
def test_single_matrix_input(sample: dict[str, Array]) -> None:
    fitted = fit(sample, MATRIX)
    MATRIX.check("m", fitted)
    assert fitted["X"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert rows(fitted) == 2


def test_one_row_given_flat() -> None:
    assert fit({UNNAMED: np.array([1.0, 2.0, 3.0])}, MATRIX)["X"].shape == (1, 3)


def test_flat_rows_become_images() -> None:
    images = Signature((TensorSpec("image", "FP32", (-1, 1, 2, 2)),), OUT)
    assert fit({UNNAMED: np.arange(8).reshape(2, 4)}, images)["image"].shape == (2, 1, 2, 2)
    columns = {c: np.array([1, 2]) for c in "abcd"}
    assert fit(columns, images)["image"].shape == (2, 1, 2, 2)
    assert fit({UNNAMED: np.zeros((1, 2, 2))}, images)["image"].shape == (1, 1, 2, 2)


@pytest.mark.parametrize(
    "sample",
    [
        {"age": np.array([1, 2]), "city": _objects("Oslo", "Bergen")},
        {"city": _objects(b"Oslo", b"Bergen"), "age": np.array([[1.0], [2.0]])},
        {"0": np.array([1, 2]), "1": _objects("Oslo", "Bergen")},
    ],
)
def test_one_input_for_each_column(sample: dict[str, Array]) -> None:
    fitted = fit(sample, COLUMNS)
    COLUMNS.check("m", fitted)
    assert fitted["city"].tolist() == [[b"Oslo"], [b"Bergen"]]
    assert fitted["age"].dtype == np.float32 and fitted["age"].shape == (2, 1)


def test_unnamed_matrix_to_columns() -> None:
    signature = Signature((TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "INT64", (-1, 1))), OUT)
    fitted = fit({UNNAMED: np.array([[1, 2], [3, 4]])}, signature)
    signature.check("m", fitted)
    assert fitted["b"].tolist() == [[2], [4]]


def test_optional_input_may_be_missing() -> None:
    signature = Signature((TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,), optional=True)), OUT)
    assert list(fit({"a": np.array([1.0])}, signature)) == ["a"]
    assert list(fit({"a": np.array([1.0]), "b": np.array([2.0])}, signature)) == ["a", "b"]


@pytest.mark.parametrize(
    ("sample", "signature", "message"),
    [
        (
            {c: np.array([1]) for c in ("a", "b", "c", "target")},
            MATRIX,
            r"f\.csv: 4 columns \('a', 'b', 'c', 'target'\), input 'X' takes 3 columns; .*--columns",
        ),
        (
            {"age": np.array([1]), "city": _objects("x"), "target": np.array([1])},
            COLUMNS,
            r"f\.csv: the model has no input 'target'; .*--columns",
        ),
        ({"age": np.array([1])}, COLUMNS, r"f\.csv: holds 'age'; the model takes 'age' FP32 \[-1,1\], 'city' BYTES"),
        ({UNNAMED: np.zeros((2, 4))}, MATRIX, r"input 'X' takes shape \[-1,3\], found \[2,4\]"),
        ({"a": np.array([1]), "b": _objects("x"), "c": np.array([1])}, MATRIX, r"column 'b': .* FP32, row 1 holds 'x'"),
        ({"age": _objects("x"), "city": _objects("x")}, COLUMNS, r"input 'age' takes FP32, row 1 holds 'x'"),
        ({"age": np.array([1]), "city": np.array([1.5])}, COLUMNS, r"input 'city' takes text \(BYTES\), found numbers"),
        ({"age": np.array([1, 2]), "city": _objects("x")}, COLUMNS, r"differ in rows: 'age' 2, 'city' 1"),
        ({c: np.ones(n) for c, n in (("a", 2), ("b", 2), ("c", 3))}, MATRIX, "the columns differ in length"),
        ({}, MATRIX, "no columns; the model takes 'X'"),
        ({"X": np.zeros((0, 3))}, MATRIX, "no rows"),
    ],
)
def test_what_does_not_fit_is_named(sample: dict[str, Array], signature: Signature, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as raised:
        fit(sample, signature, "f.csv")
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("value", "datatype", "fits"),
    [
        (5.0, "INT64", True),
        (5.5, "INT64", False),
        (np.nan, "INT32", False),
        (300, "UINT8", False),
        (-1, "UINT64", False),
        (2**63, "INT64", False),
        (float(2**63), "INT64", False),
        (float(2**62), "INT64", True),
        (2**64 - 1, "UINT64", True),
        (16777217, "FP32", True),  # rounding to float is allowed
        (1e39, "FP32", False),
        (np.inf, "FP32", True),
        (70000.0, "FP16", False),
        (1, "BOOL", True),
        (2, "BOOL", False),
        (True, "FP32", True),
        (1.5, "BF16", True),
    ],
)
def test_casts(value: Any, datatype: str, fits: bool) -> None:
    array = np.array([value])
    if fits:
        out = cast(array, datatype, "x")
        assert float(out[0]) == float(value) or datatype == "FP32"
    else:
        with pytest.raises(BadRequest, match=f"x takes {datatype}, row 1 holds"):
            cast(array, datatype, "x")


@given(st.integers(-(2**63), 2**64 - 1), st.sampled_from(["INT8", "UINT8", "INT32", "UINT32", "INT64", "UINT64"]))
def test_an_integer_is_never_changed(value: int, datatype: str) -> None:
    array = np.array([value])
    try:
        out = cast(array, datatype, "x")
    except BadRequest:
        return
    assert int(out[0]) == value


def test_select() -> None:
    sample = {c: np.array([1]) for c in "abc"}
    assert list(select(sample)) == ["a", "b", "c"]
    assert list(select(sample, ["c", "a"])) == ["c", "a"]
    assert list(select(sample, drop=["b"])) == ["a", "c"]
    with pytest.raises(UsageError, match="no column 'z'; there are 'a', 'b', 'c'"):
        select(sample, ["z"])


def test_a_matrix_columns_are_found_by_name() -> None:
    a, b, c = (np.array([i, i + 1.0]) for i in range(3))
    assert list(by_name({"c": c, "more": a, "a": a, "b": b}, ("a", "b", "c"))) == ["a", "b", "c"]
    assert by_name({"b": b, "a": a}, ("a", "b"))["a"] is a
    for unknown in ({"x": a, "y": b, "z": c}, {UNNAMED: np.zeros((2, 3))}, {"0": a, "1": b}):
        assert list(by_name(unknown, ("a", "b", "c"))) == list(unknown)  # by position
    assert list(by_name({"b": b, "a": a}, ())) == ["b", "a"]
    with pytest.raises(BadRequest, match=r"rows\.csv: no column 'c'; the model takes"):
        by_name({"b": b, "a": a}, ("a", "b", "c"), "rows.csv")
