"""CSV: delimiter, header, types and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.csv_table import is_number, read_csv, typed
from gantline.errors import BadArtefact


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,2\n3,4\n", ["a", "b"]),
        ("1,2\n3,4\n", None),
        ("0,1\n3,4\n", None),  # numbers above numbers are data
        ("5.1,setosa\n4.9,virginica\n", None),
        ("age,2019,2020\n1,2,3\n4,5,6\n", ["age", "2019", "2020"]),
        ("text\nhello\nworld\n", ["text"]),
        ("hello\n", None),  # one record alone is data
        ("a;b\r\n1;2\r\n", ["a", "b"]),
        ("a\tb\n1\t2\n", ["a", "b"]),
        (",a,b\n0,5,x\n1,6,y\n", ["a", "b"]),  # pandas' index
        ("?,setosa,3\n1,virginica,4\n", None),
        ("\ufeffa,b\n1,2\n", ["a", "b"]),
        ("a,b\n\n1,2\n\n", ["a", "b"]),
        ('"x,1",y\n1,2\n', ["x,1", "y"]),
    ],
)
def test_header(tmp_path: Path, text: str, names: list[str] | None) -> None:
    assert read_csv(_write(tmp_path, text))[0] == names


def test_header_said_by_the_user(tmp_path: Path) -> None:
    names, columns = read_csv(_write(tmp_path, "hello\nworld\n"), header=False)
    assert names is None and columns[0].tolist() == ["hello", "world"]
    names, columns = read_csv(_write(tmp_path, "1,2\n3,4\n"), header=True)
    assert names == ["1", "2"] and [c.tolist() for c in columns] == [[3], [4]]


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", "+3"], "int64", [1, -2, 3]),
        (["1", "18446744073709551615"], "uint64", [1, 2**64 - 1]),
        (["1.5", "2"], "float64", [1.5, 2.0]),
        (["1e3", "inf"], "float64", [1000.0, float("inf")]),
        (["true", "False"], "bool", [True, False]),
        (["02134", "10001"], "object", ["02134", "10001"]),
        (["0.5", "0"], "float64", [0.5, 0.0]),
        (["1_000", "2"], "object", ["1_000", "2"]),
        (["x", ""], "object", ["x", ""]),
    ],
)
def test_types(cells: list[str], kind: str, values: list[object]) -> None:
    found = typed(cells)
    assert found.dtype == kind
    assert found.tolist() == values


def test_gaps_among_numbers_are_nan() -> None:
    found = typed(["1", "", "NA", "4"])
    np.testing.assert_array_equal(found, [1.0, np.nan, np.nan, 4.0])


def test_quoted_newlines_and_quotes(tmp_path: Path) -> None:
    names, columns = read_csv(_write(tmp_path, 'id,text\n1,"two\nlines, ""quoted"""\n2,\n'))
    assert names == ["id", "text"]
    assert columns[1].tolist() == ['two\nlines, "quoted"', ""]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty; expected CSV records"),
        (b"a,b\n", None),
        (b"a,b\n1,2\n3\n", "line 3: 1 fields, expected 2"),
        (b'a,b\n1,"x\ny"\n3\n', "line 4: 1 fields, expected 2"),
        (b'a,b\n1,"2\n', "line 2: not CSV"),
        (b"a,\xff\n1,2\n", "byte 2 is not UTF-8"),
        (b"a,b\n1,2\n3,4,5\n", "line 3: 3 fields, expected 2"),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes, message: str | None) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    if message is None:
        assert read_csv(path)[0] is None  # one record of text: data
        return
    with pytest.raises(BadArtefact, match=message) as raised:
        read_csv(path)
    assert str(path) in raised.value.message and "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("text", "message"), [("a,a\n1,2\n", "'a' occurs twice"), ("a,\n1,2\n", "column 2 has no name")]
)
def test_bad_names(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadArtefact, match=message):
        read_csv(_write(tmp_path, text), header=True)


@given(st.floats(allow_nan=False))
def test_every_float_is_a_number(value: float) -> None:
    assert is_number(repr(value))
    assert typed([repr(value), "0.25"])[0] == value


@given(st.text(alphabet="019.+-e_ x", max_size=6))
def test_is_number_agrees_with_typed(cell: str) -> None:
    if is_number(cell):
        assert typed([cell]).dtype.kind in "iuf"
