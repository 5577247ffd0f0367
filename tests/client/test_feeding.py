"""What `infer` takes, as named arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gantline.client.feeding import arrays_of, native, needs_signature
from gantline.errors import BadRequest
from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 3)), TensorSpec("s", "BYTES", (-1,))), ())
ONE = Signature((TensorSpec("x", "FP32", (-1, 3)),), ())


def test_arrays_by_name_go_as_they_are() -> None:
    inputs = {"x": np.zeros((1, 3)), "s": np.array(["a"])}
    assert not needs_signature(inputs)
    found = arrays_of(inputs, None, "m")
    assert found["x"] is inputs["x"] and found["s"].tolist() == [b"a"]


def test_foreign_byte_order_is_turned() -> None:
    found = native(np.array([1.5], ">f4"))
    assert found.dtype == np.float32 and found.tolist() == [1.5]


def test_lists_and_scalars_by_name_take_the_models_datatype() -> None:
    inputs = {"x": [[1, 2, 3]], "s": ["a"]}
    assert needs_signature(inputs)
    found = arrays_of(inputs, SIGNATURE, "m")
    assert found["x"].dtype == np.float32 and found["s"].tolist() == [b"a"]
    scalar = Signature((TensorSpec("t", "INT64", ()),), ())
    assert arrays_of({"t": 3}, scalar, "m")["t"].shape == ()


@pytest.mark.parametrize("inputs", [[[1, 2, 3]], np.array([[1, 2, 3]]), [{"a": 1, "b": 2, "c": 3}]])
def test_inputs_without_names(inputs: Any) -> None:
    assert needs_signature(inputs)
    found = arrays_of(inputs, ONE, "m")
    assert found["x"].tolist() == [[1, 2, 3]] and found["x"].dtype == np.float32


def test_tables() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 4], "b": [2, 5], "c": [3, 6]})
    assert arrays_of(frame, ONE, "m")["x"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert arrays_of({"x": [[1, 2, 3]], "s": pd.Series(["a"])}, SIGNATURE, "m")["s"].tolist() == [b"a"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"z": [1]}, "unexpected input 'z'; it takes 'x', 's'"),
        ({"x": [["a", "b", "c"]], "s": ["a"]}, "input 'x' takes FP32, row 1 holds 'a'"),
        ({"x": [[1, 2], [3]], "s": ["a"]}, "row 2 is 1 values, expected 2"),
        ({"x": [[1, 2, 3, 4]], "s": ["a"]}, r"takes shape \[-1,3\], found \[1,4\]"),
        ({"x": [[1, "a", 2]], "s": ["a"]}, "values of several types"),
        ([], "model 'm': inputs: no rows"),
        (3.5, "the model takes 'x' FP32"),
    ],
)
def test_what_does_not_fit(inputs: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        arrays_of(inputs, SIGNATURE, "m")
