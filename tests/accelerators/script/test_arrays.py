"""Tensors as bytes and back."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from gantline.accelerators.script.arrays import pack, unpack

from gantline.tensors import DATATYPES, numpy_dtype


@pytest.mark.parametrize("name", DATATYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
def test_every_datatype_and_shape(name: str, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    if name == "BYTES":
        array = np.empty(shape, object)
        array.reshape(-1)[:] = [b"\x00" * i + b"\xff" for i in range(count)]
    else:
        array = (np.arange(count) % 2).astype(numpy_dtype(name)).reshape(shape)
    found = unpack(*pack([("a", array), ("b", array)]))
    for one in found.values():
        assert one.dtype == array.dtype and one.shape == array.shape and one.tolist() == array.tolist()


def test_strings_are_bytes_and_order_in_memory_does_not_matter() -> None:
    text, turned, big = np.array(["ä", "b"]), np.arange(6.0).reshape(2, 3).T, np.array([1], ">i4")
    found = unpack(*pack([("s", text), ("f", turned), ("b", big)]))
    assert found["s"].tolist() == ["ä".encode(), b"b"]
    assert found["f"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert found["b"].tolist() == [1]


def test_tensors_are_writable_and_aligned() -> None:
    found = unpack(*pack([("a", np.zeros(3, np.int8)), ("b", np.zeros(3))]))
    found["b"][0] = 1.0
    assert found["b"].flags.aligned and found["b"].flags.writeable


def test_nonsense_is_a_value_error() -> None:
    meta, body = pack([("a", np.zeros(3)), ("s", np.array([b"abc"], object))])
    with pytest.raises(ValueError, match="announced"):
        unpack(meta, body[:20])
    with pytest.raises(TypeError, match="complex128"):
        pack([("c", np.zeros(2, complex))])
    assert unpack(*pack([("x", np.zeros(2, ml_dtypes.bfloat16))]))["x"].dtype == ml_dtypes.bfloat16
