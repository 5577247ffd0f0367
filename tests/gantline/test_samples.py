"""Samples: every file format, every JSON form, and damage named in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantline.errors import BadArtefact, UsageError
from gantline.samples import UNNAMED, from_frame, from_json, read


def _plain(sample: dict[str, Any]) -> dict[str, Any]:
    return {name: array.tolist() for name, array in sample.items()}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], {"a": [1, 2], "b": ["x", "y"]}),
        ({"a": [1, 2], "b": ["x", "y"]}, {"a": [1, 2], "b": ["x", "y"]}),
        ({"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}, {"a": [1, 2], "b": ["x", "y"]}),
        ({"a": 1, "b": "x"}, {"a": [1], "b": ["x"]}),
        ([[1, 2], [3, 4]], {UNNAMED: [[1, 2], [3, 4]]}),
        ([1.5, 2.5], {UNNAMED: [1.5, 2.5]}),
        ([["x", "y"]], {UNNAMED: [["x", "y"]]}),
        ([[1, "x"], [2, "y"]], {"0": [1, 2], "1": ["x", "y"]}),
        ([[[1, 2], [3, 4]]], {UNNAMED: [[[1, 2], [3, 4]]]}),
        ({"columns": ["a", "b"], "data": [[1, "x"]]}, {"a": [1], "b": ["x"]}),
        ({"columns": ["a"], "index": [7], "data": [[1]]}, {"a": [1]}),
        ({"data": [[1, 2]]}, {UNNAMED: [[1, 2]]}),
        ({"data": [{"a": 1}]}, {"a": [1]}),
        ({"data": [[1, 2]], "method": "predict"}, {UNNAMED: [[1, 2]]}),
        ({"input_data": {"columns": ["a"], "index": [0], "data": [[1]]}}, {"a": [1]}),
        ({"instances": [[1, 2]]}, {UNNAMED: [[1, 2]]}),
        ({"inputs": {"a": [1, 2]}}, {"a": [1, 2]}),
        ({"dataframe_split": {"columns": ["a"], "data": [[1]]}}, {"a": [1]}),
        ([{"img": [[1, 2], [3, 4]]}], {"img": [[[1, 2], [3, 4]]]}),
        ([True, False], {UNNAMED: [True, False]}),
    ],
)
def test_json_forms(tmp_path: Path, tree: Any, expected: dict[str, Any]) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(tree))
    assert _plain(read(path)) == expected


def test_json_v2_request(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    inputs = [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}]
    path.write_text(json.dumps({"id": "1", "inputs": inputs}))
    found = read(path)
    assert found["X"].dtype == np.float32 and found["X"].tolist() == [[1.0, 2.5]]
    inputs[0]["data"] = [1]
    path.write_text(json.dumps({"inputs": inputs}))
    with pytest.raises(BadArtefact, match=r"s\.json: input 'X'"):
        read(path)


def test_null_is_a_gap() -> None:
    found = from_json([{"a": 1, "b": "x"}, {"a": None}])
    np.testing.assert_array_equal(found["a"], [1.0, np.nan])
    assert found["b"].tolist() == ["x", ""]
    assert np.isnan(from_json([None, None])[UNNAMED]).all()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "no rows"),
        ({}, "an empty object"),
        (7, "a single number"),
        ("x", "a single text"),
        ([[1, 2], [3]], "row 2 is 1 values, expected 2"),
        ([[1, 2], 3], "row 2 is a number, expected 2 values"),
        ([{"a": 1}, {"a": "x"}], "column 'a': expected numbers or text, found number and text"),
        ([{"a": {"b": 1}}], "column 'a': expected numbers or text, found object"),
        ([{"a": [1, 2]}, {"a": [1]}], "column 'a': the lists differ in length"),
        ({"columns": ["a", "b"], "data": [[1]]}, "row 1 is 1 values, expected 2"),
        ({"columns": ["a", "b"], "data": []}, "no rows"),
        ({"columns": 3, "data": [[1]]}, r'"columns" is not a list of names, but a number'),
        ({"columns": "ab", "data": [[1, 2]]}, r'"columns" is not a list of names, but a text'),
    ],
)
def test_json_that_is_no_sample(tree: Any, message: str) -> None:
    with pytest.raises(BadArtefact, match=message):
        from_json(tree, "s.json")


def test_npz_npy(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", a=np.arange(3), b=np.ones((3, 2), np.float16))
    found = read(tmp_path / "s.npz")
    assert found["a"].tolist() == [0, 1, 2] and found["b"].dtype == np.float16
    np.savez(tmp_path / "one.npz", np.arange(3))
    assert list(read(tmp_path / "one.npz")) == [UNNAMED]
    np.save(tmp_path / "s.npy", np.eye(2))
    assert read(tmp_path / "s.npy")[UNNAMED].shape == (2, 2)
    np.save(tmp_path / "t.npy", np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]))
    assert _plain(read(tmp_path / "t.npy")) == {"a": [1], "b": [2.5]}


def test_pickles_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "s.npz", a=np.array([{"a": 1}], object))
    for name in ("s.npy", "s.npz"):
        with pytest.raises(BadArtefact, match="plain array"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["s.npz", "s.npy", "s.json", "s.parquet"])
@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"PK\x03\x04trunc", b"\x93NUMPY\x01\x00", b"PAR1....PAR1", b'{"a": [1']
)
def test_damage_is_one_line_with_the_file(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadArtefact) as raised:
        read(path)
    assert str(path) in raised.value.message and "\n" not in raised.value.message


def test_truncated_archives(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", a=np.arange(1000))
    whole = (tmp_path / "s.npz").read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "s.npz").write_bytes(whole[:size])
        with pytest.raises(BadArtefact, match=r"s\.npz"):
            read(tmp_path / "s.npz")


def test_missing_file_and_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match="no such file"):
        read(tmp_path / "s.json")
    (tmp_path / "s.xlsx").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"a sample is one of \.csv"):
        read(tmp_path / "s.xlsx")


def test_parquet(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "i": np.array([1, 2], np.int32),
            "f": [1.5, None],
            "n": pd.array([1, None], "Int64"),
            "s": ["x", None],
            "c": pd.Categorical(["u", "v"]),
            "b": [True, False],
            "l": [[1.0, 2.0], [3.0, 4.0]],
        },
        index=["r1", "r2"],
    )
    frame.to_parquet(tmp_path / "s.parquet")
    found = read(tmp_path / "s.parquet")
    assert list(found) == list(frame.columns)
    assert found["i"].dtype == np.int32
    np.testing.assert_array_equal(found["n"], [1.0, np.nan])
    assert found["s"].tolist() == ["x", ""] and found["c"].tolist() == ["u", "v"]
    assert found["b"].dtype == np.bool_ and found["l"].shape == (2, 2)
    pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadArtefact, match="column 't': expected numbers or text"):
        read(tmp_path / "t.parquet")


def test_frame_in_memory() -> None:
    pd = pytest.importorskip("pandas")
    assert _plain(from_frame(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))) == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize("name", ["None", "nan", "NA", "NaT"])
def test_what_a_frame_calls_missing_is_a_gap(name: str) -> None:
    pd = pytest.importorskip("pandas")
    missing = {"None": None, "nan": float("nan"), "NA": pd.NA, "NaT": pd.NaT}[name]
    frame = pd.DataFrame({
        "city": pd.Series(["a", missing], dtype=object), "n": pd.Series([1, missing], dtype=object),
        "kind": pd.Series(["a", None], dtype="category"), "whole": pd.array([1, None], dtype="Int64"),
    })  # fmt: skip
    sample = from_frame(frame)
    assert sample["city"].tolist() == ["a", ""] and sample["kind"].tolist() == ["a", ""]
    assert sample["n"][0] == sample["whole"][0] == 1 and np.isnan([sample["n"][1], sample["whole"][1]]).all()


def test_csv_with_and_without_names(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    assert _plain(read(path)) == {"a": [1, 2], "b": ["x", "y"]}
    path.write_text("1,2.5\n3,4\n")
    assert _plain(read(path)) == {UNNAMED: [[1.0, 2.5], [3.0, 4.0]]}
    path.write_text("1,x\n2,y\n")
    assert _plain(read(path)) == {"0": [1, 2], "1": ["x", "y"]}
