"""V1's codec: TensorFlow Serving's and KServe's predict messages, rows and columns, and what is refused."""

from __future__ import annotations

import base64
import json
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gantline.errors import BadRequest, TooLarge
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, numpy_dtype
from gantline.wire.predictions_form import PredictionsForm
from gantline.wire.v1 import COLUMNS, decode_predict, encode_predict

ONE = Signature((TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "FP32", (-1, 3)),))
TWO = Signature(
    (TensorSpec("tag", "BYTES", (-1,)), TensorSpec("signal", "FP32", (-1, 2))), (TensorSpec("y", "FP32", (-1,)),)
)
COLUMN = Signature((TensorSpec("age", "INT64", (-1, 1)), TensorSpec("town", "BYTES", (-1, 1), True)), ())
KINDS = ("BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "UINT64", "FP32", "FP64", "BF16", "FP16", "BYTES")


def decoded(tree: Any, signature: Signature = ONE) -> dict[str, Array]:
    return decode_predict(tree if isinstance(tree, bytes) else json.dumps(tree).encode(), signature, "m").inputs


def refused(tree: Any, signature: Signature = ONE) -> str:
    with pytest.raises(BadRequest) as caught:
        signature.check("m", decoded(tree, signature))
    assert "\n" not in caught.value.message
    return caught.value.message


# -- requests


def test_rows() -> None:
    found = decoded({"instances": [[1, 2, 3], [4, 5.5, 6]]})
    assert found["x"].dtype == np.float32 and found["x"].tolist() == [[1, 2, 3], [4, 5.5, 6]]
    assert decoded({"instances": [{"x": [1, 2, 3]}], "signature_name": "serving_default"})["x"].shape == (1, 3)
    found = decoded({"instances": [{"tag": "a", "signal": [1, 2]}, {"signal": [3, 4], "tag": "\u00e9"}]}, TWO)
    assert found["tag"].tolist() == [b"a", "\u00e9".encode()] and found["signal"].tolist() == [[1, 2], [3, 4]]


def test_columns() -> None:
    found = decoded({"inputs": {"tag": ["a", "b"], "signal": [[1, 2], [3, 4]]}}, TWO)
    assert found["tag"].tolist() == [b"a", b"b"] and found["signal"].tolist() == [[1, 2], [3, 4]]
    assert decoded({"inputs": [[1, 2, 3]]})["x"].tolist() == [[1, 2, 3]]
    assert decode_predict(b'{"inputs":[[1,2,3]]}', ONE, "m").asked == COLUMNS
    scalar = Signature((TensorSpec("x", "FP64", ()),), ())
    assert decoded({"inputs": 2.5}, scalar)["x"].shape == ()


def test_a_table_by_rows_need_not_wrap_each_cell() -> None:
    found = decoded({"instances": [{"age": 3}, {"age": 4}]}, COLUMN)
    assert found["age"].tolist() == [[3], [4]] and list(found) == ["age"]
    assert decoded({"inputs": {"age": [3, 4], "town": [["a"], ["b"]]}}, COLUMN)["town"].tolist() == [[b"a"], [b"b"]]
    assert "shape [3], expected [-1,-1]" in refused(
        {"instances": [1, 2, 3]}, Signature((TensorSpec("x", "FP32", (-1, -1)),), ())
    )


def test_bytes() -> None:
    text = Signature((TensorSpec("x", "BYTES", (-1,)),), ())
    raw = bytes(range(256))
    packed = {"b64": base64.b64encode(raw).decode()}
    assert decoded({"instances": [packed, "a"]}, text)["x"].tolist() == [raw, b"a"]
    assert decoded({"instances": [{"x": packed}]}, text)["x"].tolist() == [raw]
    assert decoded({"inputs": [packed]}, text)["x"].tolist() == [raw]
    assert decoded({"inputs": packed}, Signature((TensorSpec("x", "BYTES", ()),), ()))["x"].item() == raw
    for wrong in ({"b64": "a"}, {"b64": "\u00e9\u00e9\u00e9\u00e9"}, {"b64": "YQ==x"}, {"b64": "Y Q=="}):
        assert "input 'x': \"b64\" is not base64" in refused({"instances": [wrong]}, text)
    others: list[Any] = [{"b64": 1}, 1, None, True]
    for other in others:
        assert 'must be strings, or {"b64": "..."} for bytes' in refused({"instances": ["a", other]}, text)
    assert "must be numbers, found an object" in refused({"instances": [packed]})


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([], "not a JSON object"),
        ({}, 'neither "instances" (a list of rows) nor "inputs"'),
        ({"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]}, "send one of them"),
        ({"instances": []}, "at least one row"),
        ({"instances": 1}, "at least one row"),
        ({"instances": {"x": [1, 2, 3]}}, "at least one row"),
        ({"instances": [[1, 2, 3]], "signature_name": "other"}, "model 'm' has no signature 'other'"),
        ({"instances": [[1, 2, 3]], "signature_name": [1]}, "has no signature [1]"),
        ({"instances": [[1, 2]]}, "input 'x' has shape [1,2], expected [-1,3]"),
        ({"instances": [[1, 2, 3], [1, 2]]}, "nested data does not have shape [2, 3]"),
        ({"instances": [[1, 2, "a"]]}, "must be numbers, found a string"),
        ({"instances": [[1, 2, 1e39]]}, "outside FP32's range"),
        ({"instances": [[[[1]]]]}, "has shape [1,1,1,1]"),
        ({"instances": [{"y": [1, 2, 3]}]}, "unexpected input 'y'; it takes 'x'"),
        ({"instances": [{}]}, "input 'x' is missing"),
        ({"instances": [{"x": [1, 2, 3]}, [1, 2, 3]]}, "some rows name their inputs, others do not"),
        ({"instances": [[1, 2, 3], {"x": [1, 2, 3]}]}, "does not have shape [2, 3]"),
        ({"inputs": {"x": [[1, 2, 3]], "z": 1}}, "unexpected input 'z'"),
        ({"inputs": None}, "data is null, expected a list"),
        ({"inputs": "abc"}, "found a string"),
        (b"{", "not JSON"),
        (b"", "body is empty"),
        (b"\xff", "not JSON"),
    ],
)
def test_what_is_refused(tree: Any, said: str) -> None:
    assert said in refused(tree)


def test_models_of_several_inputs() -> None:
    for tree in ({"instances": [[1, 2]]}, {"inputs": [[1, 2]]}):
        assert "model 'm' takes 'tag', 'signal'; give" in refused(tree, TWO)
    rows = {"instances": [{"tag": "a", "signal": [1, 2]}, {"tag": "b"}]}
    assert "row 1 names other inputs ('tag') than row 0 ('tag', 'signal')" in refused(rows, TWO)
    assert "model 'm' takes no input" in refused({"instances": [1]}, Signature((), ()))


def test_depth_and_numbers_beyond_all() -> None:
    deep = Signature((TensorSpec("x", "FP32", (-1,)),), ())
    assert "nested in more than 32 dimensions" in refused(b'{"instances":' + b"[" * 60 + b"]" * 60 + b"}", deep)
    with pytest.raises(TooLarge):
        decoded(b'{"instances":' + b"[" * 5000 + b"]" * 5000 + b"}", deep)
    assert np.isnan(decoded(b'{"instances":[[NaN, Infinity, -Infinity]]}')["x"][0, 0])
    assert decoded(b'{"instances":[[null, Infinity, -Infinity]]}')["x"][0, 1:].tolist() == [np.inf, -np.inf]


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.sampled_from(["instances", "inputs", "b64"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["instances", "inputs", "x", "tag", "signal", "b64", "signature_name"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    ),
    st.sampled_from([ONE, TWO, COLUMN]),
)
def test_nothing_but_bad_requests_comes_of_garbage(tree: Any, signature: Signature) -> None:
    try:
        decoded(tree, signature)
    except BadRequest as e:
        assert "\n" not in e.message


# -- there and back


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Array]:
    kind = draw(st.sampled_from(KINDS))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    if kind == "BYTES":
        flat = draw(st.lists(st.binary(max_size=6), min_size=prod(shape), max_size=prod(shape)))
        array = np.empty(len(flat), object)
        array[:] = flat
        return kind, array.reshape(shape)
    if kind in ("FP16", "BF16", "FP32", "FP64"):
        dtype: Any = numpy_dtype(kind)
        wide = draw(hnp.arrays(np.float32 if kind != "FP64" else np.float64, shape))
        with np.errstate(over="ignore", invalid="ignore"):
            return kind, wide.astype(dtype)
    return kind, draw(hnp.arrays(numpy_dtype(kind), shape))


@given(tensors(), st.booleans(), st.sampled_from(["y", "y_bytes"]))
def test_what_is_written_is_read(one: tuple[str, Array], columns: bool, name: str) -> None:
    kind, array = one
    body = encode_predict([(name, array)], columns)
    tree = json.loads(body)
    (key,) = tree
    signature = Signature((TensorSpec("x", kind, (-1,) * array.ndim),), ())
    back = json.dumps({"inputs" if columns else "instances": tree[key]}).encode()
    request = decode_predict(back, signature, "m")
    found = request.inputs["x"]
    assert found.dtype == array.dtype and found.shape == array.shape
    if kind == "BYTES":
        assert found.tolist() == array.tolist()
    else:
        assert found.tobytes() == array.tobytes() or np.array_equal(
            found.astype(np.float64), array.astype(np.float64), equal_nan=True
        )
    if not columns and (form := PredictionsForm.of([name], [array])):
        short = form.write([array])
        assert short is None or short == body


@given(tensors(), tensors())
def test_named_rows_are_read_as_they_are_written(one: tuple[str, Array], two: tuple[str, Array]) -> None:
    count = min(one[1].shape[0], two[1].shape[0])
    named = [("a", one[1][:count]), ("b", two[1][:count])]
    signature = Signature(
        tuple(TensorSpec(n, k, (-1,) * a.ndim) for (n, a), (k, _) in zip(named, (one, two), strict=True)), ()
    )
    for columns, key in ((False, "predictions"), (True, "outputs")):
        tree = json.loads(encode_predict(named, columns))[key]
        arrays = [a for _, a in named]
        if not columns and (form := PredictionsForm.of(["a", "b"], arrays)):
            short = form.write(arrays)
            assert short is None or short == encode_predict(named, False)
        back = decoded({"inputs" if columns else "instances": tree}, signature)
        assert {n: a.shape for n, a in back.items()} == {n: a.shape for n, a in named}


# -- answers


def test_answers() -> None:
    y, z = np.array([[1.5, 0.1]], np.float32), np.array([b"a"], object)
    assert encode_predict([("y", y)], False) == b'{"predictions":[[1.5,0.1]]}'
    assert encode_predict([("y", y)], True) == b'{"outputs":[[1.5,0.1]]}'
    assert json.loads(encode_predict([("y", y), ("z", z)], False)) == {"predictions": [{"y": [1.5, 0.1], "z": "a"}]}
    assert json.loads(encode_predict([("y", y), ("z", z)], True)) == {"outputs": {"y": [[1.5, 0.1]], "z": ["a"]}}
    assert json.loads(encode_predict([("z_bytes", z)], False)) == {"predictions": [{"b64": "YQ=="}]}
    assert json.loads(encode_predict([("z", np.array([b"\xff"], object))], False)) == {"predictions": [{"b64": "/w=="}]}
    assert encode_predict([("y", np.array(0.1, np.float32))], True) == b'{"outputs":0.1}'
    other = np.array([7], np.longlong)  # what onnxruntime makes of INT64 on some systems is this, and no other kind
    label = encode_predict([("label", other), ("y", y)], False)
    assert label == b'{"predictions":[{"label":7,"y":[1.5,0.1]}]}'
    form = PredictionsForm.of(["label", "y"], [other, y])
    assert form is not None and form.write([other, y]) == label
    for columns in (False, True):
        assert b":7" in encode_predict([("label", other.reshape(() if columns else (1,))), ("y", y)], columns)
    odd = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert encode_predict([("y", odd)], False) == b'{"predictions":[NaN,Infinity,-Infinity]}'
    assert encode_predict([("y", np.arange(6).reshape(2, 3).T)], False) == b'{"predictions":[[0,3],[1,4],[2,5]]}'
    rowless: list[list[tuple[str, Array]]] = [[("y", y), ("w", np.zeros(2))], [("y", np.zeros(()))]]
    for outputs in rowless:
        with pytest.raises(BadRequest, match=r"no rows in common .*; ask in column format, by \"inputs\""):
            encode_predict(outputs, False)
