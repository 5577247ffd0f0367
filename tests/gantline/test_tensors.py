"""Datatypes as numpy has them: there, back, and what V2 cannot carry."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from gantline.tensors import DATATYPES, datatype_of, numpy_dtype, to_bytes_array

SIZED = [d for d in DATATYPES.values() if d.itemsize]


@pytest.mark.parametrize("name", [d.name for d in SIZED])
def test_sizes_and_the_way_back(name: str) -> None:
    dtype = numpy_dtype(name)
    assert dtype.itemsize == DATATYPES[name].itemsize
    assert datatype_of(np.zeros(3, dtype)) == name
    assert datatype_of(np.zeros(3, dtype.newbyteorder())) == name if dtype.itemsize == 1 else True


def test_bf16_before_and_after_it_was_met() -> None:
    assert datatype_of(np.zeros(1, ml_dtypes.bfloat16)) == "BF16"
    assert numpy_dtype("BF16") == np.dtype(ml_dtypes.bfloat16)
    assert datatype_of(np.zeros(1, ml_dtypes.bfloat16)) == "BF16"


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([b"a"]), np.array([b"a"], object)])
def test_strings_of_any_kind_are_bytes(array: np.ndarray) -> None:
    assert datatype_of(array) == "BYTES"


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "float128", [("a", "i4")]])
def test_what_v2_cannot_carry(dtype: object) -> None:
    with pytest.raises(TypeError, match="has no V2 datatype"):
        datatype_of(np.zeros(1, dtype))  # type: ignore[call-overload]  # wrong on purpose


def test_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        numpy_dtype("FP8")


def test_elements_of_a_bytes_tensor() -> None:
    given = np.array([["é", b"\xff"], [7, ""]], object)
    made = to_bytes_array(given)
    assert made.dtype == object
    assert made.tolist() == [["é".encode(), b"\xff"], [b"7", b""]]
    assert to_bytes_array(np.array(["ab", "c"])).tolist() == [b"ab", b"c"]
    assert to_bytes_array(np.empty((0, 2), object)).shape == (0, 2)
