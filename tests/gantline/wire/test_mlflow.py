"""MLflow's scoring protocol: MLflow's own scoring-server cases in other words, and every error in one line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadRequest, GantlineError
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array
from gantline.wire import mlflow
from gantline.wire.mlflow import (
    CSV,
    JSON,
    LINES,
    InOrder,
    Kind,
    UnknownType,
    answer_type,
    decode,
    encode_csv,
    encode_json,
    encode_lines,
    kind_of,
)
from gantline.wire.tabular import Table

SIGNATURE = Signature((TensorSpec("X", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1,)),))
TABLE = Table(SIGNATURE, ("a", "b"))
WANT = [[1.0, 2.0], [3.0, 4.0]]


def read(tree: Any, kind: str = "application/json", table: Table = TABLE) -> Any:
    body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return decode(body, kind_of(kind.encode()), table, SIGNATURE, "m")


@pytest.mark.parametrize(
    ("tree", "in_order"),
    [
        ({"dataframe_split": {"columns": ["a", "b"], "data": WANT}}, True),
        ({"dataframe_split": {"columns": ["b", "a"], "index": [5, 6], "data": [[2, 1], [4, 3]]}}, False),
        ({"dataframe_split": {"data": WANT}}, True),
        ({"dataframe_split": {"columns": [0, 1], "index": [0, 1], "data": WANT}}, True),
        ({"dataframe_records": [{"b": 2, "a": 1}, {"a": 3, "b": 4}]}, False),
        ({"instances": WANT}, True),
        ({"instances": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, False),
        ({"inputs": WANT}, True),
        ({"inputs": {"a": [1, 3], "b": [2, 4]}}, False),
        ({"inputs": {"X": WANT}}, False),
        ({"inputs": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, False),
        ({"inputs": WANT, "params": {"beams": 3}}, True),
        ({"inputs": WANT, "params": None, "unknown": 1}, True),
    ],
)
def test_each_form_is_read(tree: Any, in_order: bool) -> None:
    request = read(tree)
    np.testing.assert_array_equal(request.inputs["X"], WANT)
    assert request.inputs["X"].dtype == np.float32 and isinstance(request, InOrder) is in_order


def test_csv_and_octets_are_read() -> None:
    for kind in ("text/csv", "Text/CSV; charset=UTF-8", "text/csv; header=present"):
        np.testing.assert_array_equal(read(b"b,a\n2,1\n4,3\n", kind).inputs["X"], WANT)
    np.testing.assert_array_equal(read(b"1,2\n3,4", "text/csv; header=absent").inputs["X"], WANT)
    np.testing.assert_array_equal(read(np.array([5, 6], "<f4").tobytes(), mlflow.OCTETS).inputs["X"], [[5, 6]])
    with pytest.raises(BadRequest, match="bytes"):
        read(b"123", mlflow.OCTETS)


BAD: list[tuple[Any, str]] = [
    (b"", "the body is empty"),
    (b"not json", "not JSON"),
    (b'{"inputs": [1, 2', "not JSON"),
    (b"\xff\xfe{}", "not JSON"),
    (b'{"inputs": "\\ud800"}', "not JSON"),
    (b"[" * 5000 + b"]" * 5000, "nested too deeply"),
    ([], "the body is a list"),
    ([1, 2], "the body is a list"),
    ("text", "a single value"),
    (None, "a single value"),
    ({}, "the body has none of them"),
    ({"columns": ["a"], "data": [[1]]}, "the body has none of them"),
    ({"messages": [{"role": "user", "content": "hello"}]}, "the body has none of them"),
    ({"inputs": WANT, "instances": WANT}, "the body has instances and inputs"),
    ({"dataframe_split": {"data": WANT}, "dataframe_records": []}, "dataframe_split and dataframe_records"),
    ({"inputs": WANT, "params": [1]}, '"params" is not an object'),
    ({"inputs": WANT, "params": "x"}, '"params" is not an object'),
    ({"dataframe_split": WANT}, '"dataframe_split": expected an object with "data"'),
    ({"dataframe_split": "x"}, '"dataframe_split": expected an object with "data"'),
    ({"dataframe_split": {"columns": ["a", "b"]}}, 'expected an object with "data"'),
    ({"dataframe_split": {"data": WANT, "secret": 1}}, 'perhaps "columns" and "index", and nothing else'),
    ({"dataframe_split": {"data": WANT, "columns": "ab"}}, '"columns" is not a list of names'),
    ({"dataframe_split": {"data": WANT, "columns": [["a"], ["b"]]}}, '"columns" is not a list of names'),
    ({"dataframe_split": {"data": WANT, "index": [1]}}, '"index" is not a list as long as "data"'),
    ({"dataframe_split": {"data": WANT, "columns": ["a"]}}, "row 1 has 2 values, expected 1"),
    ({"dataframe_split": {"data": [[1, 2], [3]], "columns": ["a", "b"]}}, "row 2 has 1 values"),
    ({"dataframe_split": {"data": [], "columns": ["a", "b"]}}, "there are no rows"),
    ({"dataframe_split": {"data": [["secret", 2]], "columns": ["a", "b"]}}, "must be numbers, found"),
    ({"dataframe_records": {"a": [1]}}, '"dataframe_records": the records are not a list of objects'),
    ({"dataframe_records": []}, "there are no rows"),
    ({"dataframe_records": [{"a": 1}]}, "missing columns 'b'"),
    ({"dataframe_records": [{"a": 1, "b": "secret"}]}, "must be numbers"),
    ({"dataframe_records": [{"a": [1], "b": 2}]}, "found a list|nested"),
    ({"dataframe_records": ["secret"]}, "not a list of objects"),
    ({"instances": 3}, '"instances": expected a list of rows'),
    ({"instances": {"a": 1}}, '"instances": expected a list of rows'),
    ({"instances": []}, "expected a list of rows that is not empty"),
    ({"instances": [[]]}, "there are no values"),
    ({"instances": [[1, 2], [3]]}, "nested data does not have shape"),
    ({"instances": [[1, 2], {"a": 3}]}, "nested data"),
    ({"instances": [{"a": 1, "b": 2}, [3, 4]]}, "not a list of objects"),
    ({"instances": [[1, 2, 3]]}, r"takes shape \[-1,2\], found \[1,3\]"),
    ({"inputs": "secret"}, "must be numbers, found a string"),
    ({"inputs": None}, "takes shape"),
    ({"inputs": {}}, "missing columns"),
    ({"inputs": {"a": [1], "b": [1, 2]}}, "the columns differ in length"),
    ({"inputs": {"a": 1, "b": 2}}, "a column is not a list"),
    ({"inputs": {"X": [["secret", 1]]}}, "must be numbers"),
    ({"inputs": {"X": {"secret": 1}}}, "must be numbers"),
    ({"inputs": [[1e300, 1]]}, "outside FP32's range"),
    ({"inputs": [[True, [1]]]}, "must be numbers"),
]


@pytest.mark.parametrize(("tree", "told"), BAD)
def test_what_is_wrong_is_told_in_one_line_without_the_input(tree: Any, told: str) -> None:
    with pytest.raises(BadRequest, match=told) as e:
        read(tree)
    assert "\n" not in e.value.message and "secret" not in e.value.message and len(e.value.message) < 300


json_trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "X", "data"]), inner),
    max_leaves=8,
)


@given(st.sampled_from([*mlflow.FORMS, "params"]), json_trees, st.sampled_from(["a", "data"]))
def test_no_document_breaks_it(form: str, tree: Any, key: str) -> None:
    for document in ({form: tree}, {form: {key: tree}}, {form: [tree, tree]}, {form: {"data": tree, "columns": [key]}}):
        try:
            inputs = read(json.dumps(document).encode()).inputs
        except GantlineError:
            continue
        assert inputs["X"].shape[1:] == (2,) and inputs["X"].dtype == np.float32


@given(st.text(alphabet='ab01,."\n\r é-e', max_size=30), st.sampled_from([None, True, False]))
def test_no_csv_breaks_it(text: str, header: bool | None) -> None:
    try:
        inputs = decode(text.encode(), Kind("text/csv", header), TABLE, SIGNATURE, "m").inputs
    except BadRequest:
        return
    assert inputs["X"].shape[1:] == (2,)


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded", "text/plain", "application/vnd.apache.parquet", "application/xml",
        "application/json; charset=latin-1", "application/json; header=present", "text/csv; header=perhaps",
        "text/csv; delimiter=;", "application/json; format=pandas-split", "\xff", "multipart/form-data; boundary=x",
    ],
)  # fmt: skip
def test_other_types_are_refused(kind: str) -> None:
    with pytest.raises(UnknownType) as e:
        kind_of(kind.encode("latin-1"))
    assert kind not in e.value.message


def test_types_that_are_read() -> None:
    assert kind_of(b"") == kind_of(b"application/json") == kind_of(b'Application/JSON; charset="UTF-8"') == Kind()
    assert kind_of(b"text/csv;header=absent") == Kind("text/csv", False)
    assert kind_of(b"application/json; ; charset=utf-8;") == Kind()
    for name in (b"application/jsonlines", b"application/jsonl", b"application/x-ndjson; charset=utf-8"):
        assert kind_of(name) == Kind(LINES)
    assert kind_of(b"application/octet-stream").type == mlflow.OCTETS


def texts(*values: str | bytes) -> Array:
    out = np.empty(len(values), object)
    out[:] = [v if isinstance(v, bytes) else v.encode() for v in values]
    return out


def test_one_output_is_a_list_of_rows() -> None:
    assert encode_json([("y", np.array([1, 2]))]) == b'{"predictions":[1,2]}'
    assert encode_json([("y", np.array([[0.1], [0.5]], np.float32))]) == b'{"predictions":[[0.1],[0.5]]}'
    assert json.loads(encode_json([("y", texts("ä", 'q"'))])) == {"predictions": ["ä", 'q"']}
    assert json.loads(encode_json([("y", texts(b"\xff"))])) == {"predictions": ["/w=="]}
    assert encode_json([("y", np.array([1.5, np.nan, np.inf]))]) == b'{"predictions":[1.5,NaN,Infinity]}'
    assert encode_json([("y", np.array([0.5], np.float16))]) == b'{"predictions":[0.5]}'
    assert encode_json([("y", np.array(7))]) == b'{"predictions":7}'
    assert encode_json([("y", np.array([True]))]) == b'{"predictions":[true]}'


def test_several_outputs_are_objects() -> None:
    label, scores = texts("a", "b"), np.array([[0.25, 0.75], [1, np.nan]], np.float32)
    found = json.loads(encode_json([("label", label), ("scores", scores)]))["predictions"]
    assert found[0] == {"label": "a", "scores": [0.25, 0.75]}
    assert found[1]["label"] == "b" and np.isnan(found[1]["scores"][1])
    assert json.loads(encode_json([("a", np.arange(2)), ("b", np.arange(3))])) == {
        "predictions": {"a": [0, 1], "b": [0, 1, 2]}
    }
    assert json.loads(encode_json([("a", np.array(1)), ("b", np.array(2.5))])) == {"predictions": {"a": 1, "b": 2.5}}


def test_csv_answers() -> None:
    label, scores = texts("a,b", 'say "x"'), np.array([[0.1, 0.75], [1, np.nan]], np.float32)
    assert encode_csv([("l", label), ("s", scores)]) == b'"a,b",0.1,0.75\n"say ""x""",1.0,nan\n'
    assert encode_csv([("y", np.array([True, False]))]) == b"true\nfalse\n"
    assert encode_csv([("y", np.arange(8).reshape(2, 2, 2))]) == b"0,1,2,3\n4,5,6,7\n"
    assert encode_csv([("y", np.array(3))]) == b"3\n"
    assert encode_csv([("y", np.zeros((0, 3)))]) == encode_csv([("y", np.zeros(0))]) == b""
    with pytest.raises(BadRequest, match="differ in rows"):
        encode_csv([("a", np.arange(2)), ("b", np.arange(3))])


def test_lines() -> None:
    for body in (b"[1,2]\n[3,4]\n", b"\r\n[1,2]\r\n\n [3, 4]", b'{"a":1,"b":2}\n{"b":4,"a":3}\n'):
        assert read(body, LINES).inputs["X"].tolist() == WANT
    assert read(b'{"features":[1,2]}\n{"features":[3,4]}', LINES, Table(SIGNATURE)).inputs["X"].tolist() == WANT
    assert np.isnan(read(b"[1,NaN]", LINES).inputs["X"][0, 1])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is empty"), (b" \n\r\n", "the body is empty"), (b"[1,2]\nsecret", "line 2: the body is not"),
        (b"[1,2]\n[3]", "shape"), (b'[1,2]\n{"a":1,"b":2}', "some lines are objects"), (b"\xff", "line 1"),
        (b'{"secret":1}', "missing columns"), (b"[1,2] [3,4]", "line 1: the body is not JSON"),
    ],
)  # fmt: skip
def test_lines_that_are_none(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        read(body, LINES)
    assert "secret" not in caught.value.message and "\n" not in caught.value.message


def test_answers_in_lines() -> None:
    label, scores = texts("a", "b"), np.array([[0.1, 0.75], [1, np.nan]], np.float32)
    assert encode_lines([("l", label), ("s", scores)]) == b'{"l":"a","s":[0.1,0.75]}\n{"l":"b","s":[1.0,NaN]}\n'
    assert encode_lines([("y", np.array([0.1, 2], np.float32))]) == b"0.1\n2.0\n"
    assert encode_lines([("y", np.array([1, 2], np.longlong))]) == b"1\n2\n"
    assert encode_lines([("s", scores[:1])]) == b"[0.1,0.75]\n"
    with pytest.raises(BadRequest, match="no rows in common"):
        encode_lines([("a", np.arange(2)), ("b", np.arange(3))])


def test_numbers_of_every_kind_of_numpys_are_written() -> None:
    """What onnxruntime makes of INT64 on some systems is none of the kinds that a writer takes by itself."""
    other, scores = np.array([7, 8], np.longlong), np.zeros((2, 1), np.float32)
    found = json.loads(encode_json([("label", other), ("scores", scores)]))
    assert found == {"predictions": [{"label": 7, "scores": [0]}, {"label": 8, "scores": [0]}]}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (b"", JSON), (b"*/*", JSON), (b"application/json", JSON), (b"text/csv", CSV), (b"Text/CSV;q=1", CSV),
        (b"text/csv; charset=utf-8", CSV), (b"application/json, text/csv", JSON), (b"text/csv, */*", CSV),
        (b"image/png, text/csv", CSV), (b"text/csvx", JSON), (b"application/jsonlines", LINES), (b", ,", JSON),
        (b"application/x-ndjson, text/csv", LINES), (b"application/octet-stream, text/csv", CSV),
    ],
)  # fmt: skip
def test_accept(accept: bytes, wanted: str) -> None:
    assert answer_type(accept) == wanted


def test_errors_have_mlflows_shape() -> None:
    codes = {s: json.loads(mlflow.error_body(s, "no"))["error_code"] for s in (400, 404, 413, 415, 429, 500, 503, 504)}
    assert codes == {
        400: "BAD_REQUEST", 404: "ENDPOINT_NOT_FOUND", 413: "BAD_REQUEST", 415: "BAD_REQUEST",
        429: "REQUEST_LIMIT_EXCEEDED", 500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
    }  # fmt: skip
    assert json.loads(mlflow.error_body(400, 'a "b"')) == {"error_code": "BAD_REQUEST", "message": 'a "b"'}


def test_answers_as_mlflow_makes_them_of_each_flavor() -> None:
    numbers, pairs = np.array([[0.5], [1.5]], np.float32), np.array([[1, 2], [3, 4]])
    assert encode_json([("y", numbers)], "numbers") == b'{"predictions":[0.5,1.5]}'
    assert encode_json([("y", pairs)], "numbers") == b'{"predictions":[[1,2],[3,4]]}'
    assert encode_json([("y", numbers)], "records") == b'{"predictions":[{"y":0.5},{"y":1.5}]}'
    assert encode_json([("y", pairs)], "columns") == b'{"predictions":[{"0":1,"1":2},{"0":3,"1":4}]}'
    assert encode_json([("y", numbers)], "outputs") == b'{"predictions":{"y":[[0.5],[1.5]]}}'
    both = encode_json([("y", numbers), ("z", np.arange(2))], "outputs")
    assert both == b'{"predictions":{"y":[[0.5],[1.5]],"z":[0,1]}}'
    assert json.loads(encode_json([("y", numbers), ("z", np.arange(2))], "records"))["predictions"][1] == {
        "y": 1.5,
        "z": 1,
    }
    assert encode_json([("y", np.array(3.5))], "records") == b'{"predictions":{"y":3.5}}'
    assert encode_json([("y", np.zeros((1, 2, 2)))], "columns") == b'{"predictions":[{"y":[[0.0,0.0],[0.0,0.0]]}]}'
