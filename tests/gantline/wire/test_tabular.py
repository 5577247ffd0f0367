"""Tables as inputs: by name, by position, as one matrix, from CSV; and what is wrong, without what was sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gantline.errors import BadRequest, TooLarge
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array
from gantline.wire.tabular import Table, tensor
from gantline.wire.v2_tensors import shape_of


def table(*inputs: tuple[str, str, tuple[int, ...]], columns: tuple[str, ...] = ()) -> Table:
    return Table(Signature(tuple(TensorSpec(*i) for i in inputs), ()), columns)


MATRIX = table(("X", "FP32", (-1, 2)))
NAMED = table(("X", "FP32", (-1, 2)), columns=("a", "b"))
MIXED = table(("age", "INT64", (-1, 1)), ("city", "BYTES", (-1, 1)), ("fit", "BOOL", (-1, 1)))
TEXT = table(("X", "BYTES", (-1, 1)))
ROWS = np.array([[1, 2], [3, 4]], np.float32)


def same(got: dict[str, Array], **want: Any) -> None:
    assert list(got) == list(want)
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array)


def test_a_matrix_takes_columns_by_name_where_names_are_known() -> None:
    same(NAMED.rows(["a", "b"], [[1, 2], [3, 4]]), X=ROWS)
    same(NAMED.rows(["b", "a"], [[2, 1], [4, 3]]), X=ROWS)
    same(NAMED.rows(["b", "other", "a"], [[2, "x", 1], [4, None, 3]]), X=ROWS)
    same(NAMED.columnar({"b": [2, 4], "a": [1, 3]}), X=ROWS)
    same(NAMED.records([{"b": 2, "a": 1}, {"a": 3, "b": 4}]), X=ROWS)


def test_a_matrix_takes_columns_in_their_order_where_none_are_known() -> None:
    same(MATRIX.rows(["v", "w"], [[1, 2], [3, 4]]), X=ROWS)
    same(MATRIX.columnar({"v": [1, 3], "w": [2, 4]}), X=ROWS)
    same(MATRIX.records([{"v": 1, "w": 2}, {"v": 3, "w": 4}]), X=ROWS)
    for one in (MATRIX, NAMED):
        same(one.rows(None, [[1, 2], [3, 4]]), X=ROWS)
        same(one.rows(["0", "1"], [[1, 2], [3, 4]]), X=ROWS)  # pandas' names for columns without names
        same(one.nested([[1, 2], [3, 4]]), X=ROWS)
        same(one.nested([1, 2]), X=ROWS[:1])
        same(one.columnar({"X": [[1, 2], [3, 4]]}), X=ROWS)


def test_rows_in_order_are_told_apart() -> None:
    assert MATRIX.in_order(["v", "w"]) and MATRIX.in_order(None) and MATRIX.in_order(["0", "1"])
    assert not MATRIX.in_order(["X"])
    assert NAMED.in_order(["a", "b"]) and NAMED.in_order(["0", "1"])
    assert not NAMED.in_order(["b", "a"]) and not NAMED.in_order(["a", "b", "c"])
    assert not MIXED.in_order(None) and not MIXED.in_order(["age", "city", "fit"])
    assert not table(("X", "FP32", (-1, 2)), columns=("1", "0")).in_order(["0", "1"])


def test_a_column_an_input() -> None:
    want: dict[str, Any] = {"age": [[30], [41]], "city": [[b"Ulm"], [b""]], "fit": [[True], [False]]}
    same(MIXED.rows(["fit", "city", "age"], [[True, "Ulm", 30], [0, None, 41.0]]), **want)
    same(MIXED.rows(None, [[30, "Ulm", True], [41, None, False]]), **want)
    same(MIXED.columnar({"city": ["Ulm", ""], "fit": [1, False], "age": [30, 41], "more": [1, 2]}), **want)
    same(MIXED.records([{"age": 30, "city": "Ulm", "fit": True}, {"age": 41, "fit": False}]), **want)


def test_optional_inputs_may_be_left_out() -> None:
    inputs = (TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,), optional=True))
    one = Table(Signature(inputs, ()))
    same(one.columnar({"a": [1]}), a=[1])
    same(one.columnar({"a": [1], "b": [2]}), a=[1], b=[2])


def test_tensors_of_any_rank() -> None:
    image = TensorSpec("x", "UINT8", (-1, 2, 2))
    np.testing.assert_array_equal(tensor(image, [[[1, 2], [3, 4]]]), [[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(tensor(image, [[1, 2], [3, 4]]), [[[1, 2], [3, 4]]])  # one
    np.testing.assert_array_equal(tensor(TensorSpec("x", "FP32", (-1,)), 3.5), [3.5])
    np.testing.assert_array_equal(tensor(TensorSpec("x", "FP32", (-1, 1)), [1, 2]), [[1], [2]])
    np.testing.assert_array_equal(tensor(TensorSpec("x", "FP32", (-1,)), [[1], [2]]), [1, 2])
    assert shape_of([[[1], [2]], [[3], [4]]]) == [2, 2, 1] and shape_of(3) == [] and shape_of([[]]) == [1, 0]


def test_gaps_and_kin() -> None:
    np.testing.assert_array_equal(tensor(TensorSpec("x", "FP64", (-1,)), [None, True, 2]), [np.nan, 1, 2])
    np.testing.assert_array_equal(tensor(TensorSpec("x", "INT32", (-1,)), [3.0, False, 4]), [3, 0, 4])
    assert tensor(TensorSpec("x", "BYTES", (-1,)), [None, "ä"]).tolist() == [b"", "ä".encode()]


@pytest.mark.parametrize(
    ("datatype", "values", "told"),
    [
        ("FP32", ["7"], "must be numbers, found a string"),
        ("FP32", [{"secret": 1}], "must be numbers, found an object"),
        ("FP32", [1e39], "outside FP32's range"),
        ("FP16", [7e4], "outside FP16's range"),
        ("INT64", [3.5], "must be integers, found a number with a fraction"),
        ("INT64", [None], "must be integers, found null"),
        ("INT64", [1 << 63], "outside INT64's range"),
        ("INT8", [1e300], "outside INT8's range"),
        ("UINT8", [-1], "outside UINT8's range"),
        ("BOOL", [2], "must be true and false"),
        ("BOOL", [None], "must be true and false"),
        ("BYTES", [7], "must be strings, found an integer"),
        ("BYTES", [["a"], "b"], "nested data"),
        ("FP32", [[1], [2, 3]], "nested data does not have shape"),
        ("FP32", [1, [2]], "must be numbers, found a list"),
        ("FP32", [[1], 2], "nested data does not have shape"),
        ("FP32", [], "there are no values"),
        ("FP32", [[]], "there are no values"),
        ("FP32", [[1, 2]], r"takes shape \[-1\], found \[1,2\]"),
    ],
)
def test_values_that_do_not_fit(datatype: str, values: Any, told: str) -> None:
    with pytest.raises(BadRequest, match=told) as e:
        tensor(TensorSpec("x", datatype, (-1,)), values)
    assert "secret" not in e.value.message and "\n" not in e.value.message


def test_a_deep_list_is_too_large() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(BadRequest, match="nested more than 32 deep"):
        MATRIX.nested(deep)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: NAMED.rows(["a", "c"], [[1, 2]]), "missing columns 'b'; the model takes 'a', 'b'"),
        (lambda: NAMED.columnar({}), "missing columns 'a', 'b'"),
        (lambda: NAMED.rows(["a", "a"], [[1, 2]]), "two columns have the same name"),
        (lambda: NAMED.rows(["a", "b"], [[1, 2], [3]]), "row 2 has 1 values, expected 2"),
        (lambda: NAMED.rows(["a", "b"], [[1, 2], {"a": 3}]), "row 2 is not a list"),
        (lambda: NAMED.rows(["a", "b"], []), "there are no rows"),
        (lambda: NAMED.rows(["a", "b"], {"a": 1}), "there are no rows"),
        (lambda: NAMED.columnar({"a": [1], "b": [1, 2]}), "the columns differ in length"),
        (lambda: NAMED.columnar({"a": 1, "b": 2}), "a column is not a list"),
        (lambda: NAMED.records([]), "there are no rows"),
        (lambda: NAMED.records([1]), "not a list of objects"),
        (lambda: NAMED.records({"a": 1}), "not a list of objects"),
        (lambda: MATRIX.rows(["u", "v", "w"], [[1, 2, 3]]), r"takes shape \[-1,2\], found \[1,3\]"),
        (lambda: MATRIX.columnar({"u": [1]}), r"takes shape \[-1,2\], found \[1,1\]"),
        (lambda: MIXED.rows(None, [[1, 2]]), "row 1 has 2 values, expected 3"),
        (lambda: MIXED.nested(3), "there are no rows"),
        (lambda: MIXED.columnar({"age": [1]}), "missing columns 'city', 'fit'"),
        (lambda: MIXED.records([{"age": 1}]), "missing columns 'city', 'fit'"),
    ],
)
def test_tables_that_do_not_fit(call: Any, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        call()


def test_csv_with_a_header() -> None:
    same(NAMED.text(b"b,a\r\n2,1\r\n4,3\r\n"), X=ROWS)
    same(NAMED.text(b'"a",more,b\n1,"x, y",2\n3,,4\n'), X=ROWS)
    same(MATRIX.text(b"u,v\n1,2\n3,4"), X=ROWS)
    same(MATRIX.text(b"0,1\n1,2\n3,4\n"), X=ROWS)  # pandas' names for columns without names
    same(MATRIX.text(b",u,v\n0,1,2\n1,3,4\n"), X=ROWS)  # pandas' index
    same(NAMED.text(b",a,b\n7,1,2\n9,3,4\n"), X=ROWS)
    same(TEXT.text(b"X\nhello\n"), X=[[b"hello"]])
    same(MIXED.text(b"city,fit,age\nUlm,true,30\n,False,41\n"), age=[[30], [41]], city=[[b"Ulm"], [b""]],
         fit=[[True], [False]])  # fmt: skip


def test_csv_without_a_header() -> None:
    same(MATRIX.text(b"1,2\n3,4\n"), X=ROWS)
    same(NAMED.text(b"1,2\n\n3,4\n"), X=ROWS)
    same(NAMED.text(b"\xef\xbb\xbf1,2\n3,4\n"), X=ROWS)
    same(TEXT.text(b"hello\nworld\n"), X=[[b"hello"], [b"world"]])
    same(MIXED.text(b"30,Ulm,1\n41,,0\n"), age=[[30], [41]], city=[[b"Ulm"], [b""]], fit=[[True], [False]])
    same(MATRIX.text(b",2\nnan, 4e0 \n"), X=[[np.nan, 2], [np.nan, 4]])


def test_csv_whose_header_is_told() -> None:
    same(TEXT.text(b"hello\nworld\n", header=True), X=[[b"world"]])
    same(TEXT.text(b"X\nhello\n", header=False), X=[[b"X"], [b"hello"]])
    same(MATRIX.text(b"1,2\n3,4\n", header=True), X=[[3, 4]])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"a,b\n", "a header and no rows"),
        (b"1,2\n3\n", "record 2 has 1 fields, expected 2"),
        (b'1,"2\n', "damaged at line 1"),
        (b"1,2\n3,secret\n", "row 2 holds a cell that is not a number, where the model takes FP32"),
        (b"1,2_0\n", "row 1 holds a cell that is not a number"),
        (b"1,1e999\n", "row 1 holds a cell that is not a number"),
        (b"1,2,3\n", r"takes shape \[-1,2\], found \[1,3\]"),
        (b"c,d\n1,2\n", "missing columns 'a', 'b'"),
        (b"\xff\xfe", "not UTF-8"),
        (b"1," + b"9" * 200_000, "damaged"),
    ],
)
def test_csv_that_does_not_fit(body: bytes, told: str) -> None:
    with pytest.raises(BadRequest, match=told) as e:
        NAMED.text(body)
    assert "secret" not in e.value.message and "\n" not in e.value.message


@pytest.mark.parametrize("cell", ["", "1.5", "x", "1" * 30, "--1"])
def test_cells_that_are_no_integers(cell: str) -> None:
    with pytest.raises(BadRequest, match=r"integers|not a number|INT64"):
        MIXED.text(f"{cell},Ulm,1\n".encode())


def test_lines_are_rows() -> None:
    same(MATRIX.lines([[1, 2], [3, 4]]), X=ROWS)
    same(NAMED.lines([{"b": 2, "a": 1}, {"a": 3, "b": 4}]), X=ROWS)
    same(MATRIX.lines([{"features": [1, 2]}, {"features": [3, 4]}]), X=ROWS)
    same(TEXT.lines(["a", "b"]), X=np.array([[b"a"], [b"b"]], object))
    own = table(("features", "FP32", (-1, 2)))
    same(own.lines([{"features": [1, 2]}]), features=ROWS[:1])
    with pytest.raises(BadRequest, match="some lines are objects, others are not"):
        MATRIX.lines([[1, 2], {"features": [3, 4]}])


def test_records_that_would_make_a_huge_table_are_refused() -> None:
    """A column for each name that any record has: without a bound a body of a megabyte makes one of ten gigabytes."""
    apart = [{f"k{i}": 1} for i in range(30_000)]
    with pytest.raises(TooLarge, match="hardly a name in common"):
        MATRIX.records(apart)
    with pytest.raises(BadRequest, match="missing columns 'a', 'b'"):
        NAMED.records(apart)  # nobody asks for these columns, so none of them is made
    gaps = [{"a": 1.0, "b": 2.0}, *({} for _ in range(1000))]
    found = NAMED.records(gaps)["X"]
    assert found.shape == (1001, 2) and np.isnan(found[1:]).all()
