"""One tensor's data both ways: every datatype, in JSON and binary, and what must not pass."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gantline.errors import BadRequest
from gantline.tensors import DATATYPES, Array, numpy_dtype
from gantline.wire.v2 import dump_json, parse_json
from gantline.wire.v2_tensors import from_bytes, from_values, to_bytes, to_values

NUMBERS = [d for d in DATATYPES if d not in ("BYTES", "BOOL")]
INTS = [d for d in NUMBERS if "INT" in d]
FLOATS = [d for d in NUMBERS if "INT" not in d]
SHAPES = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Array]:
    datatype = draw(st.sampled_from(list(DATATYPES)))
    shape = draw(SHAPES)
    if datatype == "BYTES":
        elements = draw(st.lists(st.text(), min_size=math.prod(shape), max_size=math.prod(shape)))
        array = np.empty(len(elements), object)
        array[:] = [e.encode() for e in elements]
        return datatype, array.reshape(shape)
    if datatype == "BF16":
        return datatype, draw(npst.arrays(np.float32, shape, elements=st.floats(width=16))).astype(numpy_dtype("BF16"))
    return datatype, draw(npst.arrays(numpy_dtype(datatype), shape))


def same(a: Array, b: Array) -> bool:
    if a.dtype.name == "bfloat16":
        a, b = a.astype(np.float32), b.astype(np.float32)
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


@given(arrays())
def test_json_round_trip(one: tuple[str, Array]) -> None:
    datatype, array = one
    text = dump_json({"data": to_values("t", array, datatype)})
    back = from_values("t", datatype, list(array.shape), parse_json(text)["data"])
    assert same(back, array)


@given(arrays())
def test_nested_json_is_the_same_as_flat(one: tuple[str, Array]) -> None:
    datatype, array = one
    plain = array.astype(np.float32) if datatype in ("FP16", "BF16") else array
    nested = [e.decode() for e in array.ravel()] if datatype == "BYTES" else plain.ravel().tolist()
    for size in reversed(array.shape[1:]):
        nested = [nested[i * size : (i + 1) * size] for i in range(len(nested) // size if size else 0)]
    if array.ndim and array.size:
        assert same(from_values("t", datatype, list(array.shape), nested), array)


@given(arrays())
def test_binary_round_trip(one: tuple[str, Array]) -> None:
    datatype, array = one
    back = from_bytes("t", datatype, list(array.shape), memoryview(to_bytes(array, datatype)))
    assert same(back, array)


@given(arrays(), st.data())
def test_a_byte_count_that_is_off_is_refused(one: tuple[str, Array], data: st.DataObject) -> None:
    datatype, array = one
    raw = to_bytes(array, datatype)
    wrong = raw + b"\0" if not raw or data.draw(st.booleans()) else raw[:-1]
    with pytest.raises(BadRequest, match="input 't'"):
        from_bytes("t", datatype, list(array.shape), memoryview(wrong))


def test_arrays_of_any_layout_are_written_row_by_row() -> None:
    base = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    for array in (base.T, base[:, ::2], base[::-1], np.asfortranarray(base)):
        assert to_bytes(array, "INT32") == np.ascontiguousarray(array).tobytes()
        assert to_values("t", array, "INT32").tolist() == array.ravel().tolist()


def test_little_endian_on_the_wire() -> None:
    assert to_bytes(np.array([1], np.uint32), "UINT32") == b"\1\0\0\0"
    assert from_bytes("t", "INT16", [1], memoryview(b"\2\1")).tolist() == [258]
    text = np.array([b"ab", "\xe9"], object)
    assert to_bytes(text, "BYTES") == struct.pack("<I2sI2s", 2, b"ab", 2, "\xe9".encode())


# -- what JSON may hold


@pytest.mark.parametrize("datatype", INTS)
def test_ranges_of_integers(datatype: str) -> None:
    info = np.iinfo(numpy_dtype(datatype))
    for value in (info.min, info.max):
        assert from_values("t", datatype, [1], [int(value)])[0] == value
    for wrong in (int(info.min) - 1, int(info.max) + 1, 10**400, -(10**400)):
        with pytest.raises(BadRequest, match=f"outside {datatype}'s range"):
            from_values("t", datatype, [2], [0, wrong])


@pytest.mark.parametrize("count", [1, 200])
@pytest.mark.parametrize("datatype", FLOATS)
def test_ranges_of_floats(datatype: str, count: int) -> None:
    written = {"FP16": 65504.0, "BF16": 3.3895314e38, "FP32": 3.4028235e38, "FP64": 1.7976931348623157e308}[datatype]
    for value in (written, -written, math.inf, -math.inf, 0.0, 1e-320):
        got = from_values("t", datatype, [count], [value] * count)
        assert math.isfinite(value) == bool(np.isfinite(got.astype(np.float64)).all())
    beyond = [10**400, -(10**400)] if datatype == "FP64" else [65520, -1e39, 1e300, 10**400] * (datatype == "FP16")
    beyond += [1e39, -1e39, 2**200] * (datatype in ("FP32", "BF16"))
    for wrong in beyond:
        for place in (0, count - 1):
            values: list[Any] = [math.nan] * count
            values[place] = wrong
            with pytest.raises(BadRequest, match=f"outside {datatype}'s range"):
                from_values("t", datatype, [count], values)


@pytest.mark.parametrize("datatype", FLOATS)
def test_missing_numbers_are_nan(datatype: str) -> None:
    for values in ([None, 1, 2.5], parse_json(b"[NaN, 1, 2.5]")):
        got = from_values("t", datatype, [3], values).astype(np.float64)
        assert math.isnan(got[0]) and got[1:].tolist() == [1, 2.5]


@pytest.mark.parametrize(
    ("datatype", "value", "said"),
    [
        ("INT32", 1.0, "integers, found a number with a fraction"),
        ("INT32", True, "integers, found true or false"),
        ("INT32", "1", "integers, found a string"),
        ("INT32", None, "integers, found null"),
        ("UINT8", math.nan, "integers, found a number with a fraction"),
        ("FP32", "1", "numbers, found a string"),
        ("FP32", True, "numbers, found true or false"),
        ("FP32", {}, "numbers, found an object"),
        ("BOOL", 1, "true and false, found an integer"),
        ("BOOL", "true", "true and false, found a string"),
        ("BYTES", 1, "strings, found an integer"),
        ("BYTES", None, "strings, found null"),
    ],
)
def test_wrong_kinds_of_values(datatype: str, value: Any, said: str) -> None:
    right: Any = {"INT32": 1, "UINT8": 1, "FP32": 1.5, "BOOL": True, "BYTES": "a"}[datatype]
    for values in ([value], [right, value], [value, right]):
        with pytest.raises(BadRequest) as raised:
            from_values("t", datatype, [len(values)], values)
        assert raised.value.message == f"input 't': data of datatype {datatype} must be {said}"


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 2], [[1, 2], [3]]),
        ([2, 2], [[1, 2], 3]),
        ([2, 2], [1, [2, 3], 4, 5]),
        ([2, 2], [[1, 2, 3, 4]]),
        ([2, 2], [[[1], [2]], [[3], [4]]]),
        ([4], [[1, 2, 3, 4]]),
        ([2, 2], [1, 2, 3]),
        ([2, 2], []),
        ([0], [1]),
        ([0, 3], [[]]),
        ([2, 0], [[], [1]]),
        ([], []),
        ([], [1, 2]),
        ([], [[1]]),
        ([1], 1),
        ([1], "x"),
        ([1], {"a": 1}),
        ([1], None),
        ([], None),
        ([], {}),
    ],
)
def test_ragged_and_misshapen_data(shape: list[int], data: Any) -> None:
    with pytest.raises(BadRequest, match="input 't'") as raised:
        from_values("t", "INT32", shape, data)
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("shape", "data", "want"),
    [
        ([], 5, 5),
        ([], [5], 5),
        ([0], [], []),
        ([0, 3], [], []),
        ([2, 0], [[], []], [[], []]),
        ([2, 0], [], [[], []]),
        ([1, 1, 1], [5], [[[5]]]),
        ([2, 1, 2], [[[1, 2]], [[3, 4]]], [[[1, 2]], [[3, 4]]]),
        ([2, 1, 2], [1, 2, 3, 4], [[[1, 2]], [[3, 4]]]),
        ([1] * 32, [5], None),
    ],
)
def test_scalars_and_empty_dimensions(shape: list[int], data: Any, want: Any) -> None:
    got = from_values("t", "INT64", shape, data)
    assert list(got.shape) == shape
    assert want is None or got.tolist() == want


# -- what bytes may hold


def test_strings_as_bytes() -> None:
    raw = b"\2\0\0\0ab\0\0\0\0\1\0\0\0\xff"
    got = from_bytes("t", "BYTES", [3, 1], memoryview(raw))
    assert got.tolist() == [[b"ab"], [b""], [b"\xff"]]
    assert from_bytes("t", "BYTES", [0], memoryview(b"")).shape == (0,)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\2\0\0", "element 0 is cut off within its 4-byte length"),
        (b"\2\0\0\0a", "element 0 says 2 bytes, only 1 are left"),
        (b"\xff\xff\xff\xff", "element 0 says 4294967295 bytes, only 0 are left"),
        (b"\0\0\0\0", r"shape \[2\] needs 2 elements, binary data has 1"),
        (b"\0\0\0\0" * 3, r"shape \[2\] needs 2 elements, binary data has 3"),
    ],
)
def test_damaged_strings(raw: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        from_bytes("t", "BYTES", [2], memoryview(raw))


def test_binary_numbers_are_not_copied() -> None:
    raw = np.arange(10, dtype=np.float32).tobytes()
    got = from_bytes("t", "FP32", [10], memoryview(raw))
    assert not got.flags.owndata and not got.flags.writeable


def test_any_byte_but_zero_is_true() -> None:
    """C's own truth. Left as they came, 2 would be true in an answer, and its "not", which is 3, as well."""
    got = from_bytes("t", "BOOL", [2, 2], memoryview(b"\0\1\2\xff"))
    assert got.tolist() == [[False, True], [True, True]] and to_bytes(got, "BOOL") == b"\0\1\1\1"


def test_bytes_that_are_no_text_cannot_be_json() -> None:
    with pytest.raises(BadRequest, match='not UTF-8; ask for it with "binary_data": true'):
        to_values("t", np.array([b"\xff"], object), "BYTES")
    assert to_values("t", np.array([b"a", "b"], object), "BYTES") == ["a", "b"]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
@pytest.mark.parametrize("count", [1, 100])
def test_integers_of_any_length_where_floats_are_wanted(datatype: str, count: int) -> None:
    for value in (2**63, -(2**64), 10**30):
        if datatype == "FP16":
            with pytest.raises(BadRequest, match="outside FP16's range"):
                from_values("x", datatype, [count], [value] * count)
        else:
            found = from_values("x", datatype, [count], [value] * count).astype(np.float64)
            assert found == pytest.approx(np.full(count, float(value)), rel=1e-2)
