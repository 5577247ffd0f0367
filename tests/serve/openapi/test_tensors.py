"""Signatures as schemas: exact shapes, ranges and names."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from gantline.serve.openapi import tensors

from gantline.signature import TensorSpec
from gantline.tensors import DATATYPES


def test_elements_have_the_ranges_that_the_codec_has() -> None:
    assert tensors.element("INT8") == {"type": "integer", "minimum": -128, "maximum": 127}
    assert tensors.element("UINT64") == {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
    assert tensors.element("BOOL") == {"type": "boolean"} and tensors.element("BYTES") == {"type": "string"}
    assert tensors.element("FP32")["maximum"] == pytest.approx(3.4028235e38)
    assert "type" not in tensors.answered("FP64") and tensors.answered("INT8") == tensors.element("INT8")
    for name in DATATYPES:
        assert tensors.element(name)["type"]


def test_a_shape_is_a_tuple_of_what_is_fixed_and_what_is_free() -> None:
    assert tensors.shape(TensorSpec("x", "FP32", (-1, 4))) == {
        "type": "array", "minItems": 2, "maxItems": 2,
        "prefixItems": [{"type": "integer", "minimum": 0}, {"const": 4}],
    }  # fmt: skip
    assert tensors.shape(TensorSpec("x", "FP32", ())) == {"type": "array", "minItems": 0, "maxItems": 0}


def test_data_is_nested_or_flat() -> None:
    one = {"type": "integer"}
    nested, flat = tensors.data(TensorSpec("x", "INT8", (-1, 2)), one)["anyOf"]
    assert nested == {"type": "array", "items": {"type": "array", "items": one, "minItems": 2, "maxItems": 2}}
    assert flat == {"type": "array", "items": one}
    assert tensors.data(TensorSpec("x", "INT8", (3,)), one) == {
        "type": "array", "items": one, "minItems": 3, "maxItems": 3,
    }  # fmt: skip
    assert tensors.data(TensorSpec("x", "INT8", (2, 3)), one)["anyOf"][1]["maxItems"] == 6
    assert tensors.data(TensorSpec("x", "INT8", ()), one)["anyOf"][0] == one
    assert tensors.nested(TensorSpec("x", "INT8", (-1, 2)), one, 1) == nested["items"]


def test_arrays_as_examples() -> None:
    assert tensors.values(np.array([[1.5, float("nan")]], np.float32), "FP32") == [1.5, None]
    assert tensors.values(np.array([1.5, float("inf")]), "FP64") is None
    assert tensors.values(np.array([5.1, 1e30, 6.2e-8], np.float32), "FP32") == [5.1, 1e30, 6.2e-8]
    assert tensors.rows(np.array([[1, 2]], np.int8), "INT8") == [[1, 2]]
    assert tensors.rows(np.array(3.0), "FP64") == 3.0
    assert tensors.values(np.array([b"a", "ä".encode()], object), "BYTES") == ["a", "ä"]
    assert tensors.values(np.array([b"\xff"], object), "BYTES") is None
    assert tensors.rows(np.array([[b"\xff"]], object), "BYTES") is None
    assert tensors.values(np.zeros(tensors.MAX_EXAMPLE + 1), "FP64") is None
    assert tensors.values(np.ones(2, ml_dtypes.bfloat16), "BF16") == [1.0, 1.0]


def test_a_tensor_in_words() -> None:
    assert tensors.described(TensorSpec("x", "FP32", (-1, 4))) == "FP32 [any, 4]"
    many = tuple(f"c{i}" for i in range(1000))
    assert tensors.described(TensorSpec("y", "FP32", (-1, 1000), labels=many)).endswith("c9, ...")
