"""Generate messages: plain JSON to tensors by name, and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadRequest, EngineFailed
from gantline.signature import Signature, TensorSpec
from gantline.wire.generate import decode_generate, encode_generate

SIGNATURE = Signature(
    (TensorSpec("text", "BYTES", (1,)), TensorSpec("x", "FP32", (-1, 3)), TensorSpec("flag", "BOOL", ())),
    (TensorSpec("y", "FP32", (-1,)),),
)


def decode(tree: Any) -> Any:
    return decode_generate(json.dumps(tree).encode(), SIGNATURE)


def test_fields_become_inputs_parameters_and_id() -> None:
    request = decode({"text": "hé", "x": [1, 2, 3], "flag": True, "id": "mine", "stream": False, "temperature": 0.5})
    assert request.inputs["text"].tolist() == ["hé".encode()]
    assert request.inputs["x"].tolist() == [[1, 2, 3]] and request.inputs["x"].dtype == np.float32
    assert request.inputs["flag"].shape == () and request.inputs["flag"].item() is True
    assert (request.id, request.parameters) == ("mine", {"stream": False, "temperature": 0.5})
    assert decode({"x": [[1, 2, 3], [4, 5, 6]]}).inputs["x"].shape == (2, 3)
    request = decode({"text": "a", "parameters": {"x": [1, 2, 3], "top": 5}})
    assert set(request.inputs) == {"text", "x"} and request.parameters == {"top": 5}
    assert decode({}).parameters is None


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ([], "not a JSON object"),
        ({"x": [[1, 2, 3], [4]]}, "does not have shape"),
        ({"x": ["a", "b", "c"]}, "must be numbers"),
        ({"text": None}, "input 'text'"),
        ({"text": {"a": 1}}, "input 'text'"),
        ({"other": [1]}, "field 'other' is no input"),
        ({"other": None}, "field 'other' is no input"),
        ({"id": 5}, '"id" must be a string'),
        ({"text": "a", "parameters": {"text": "b"}}, "field 'text' is given twice"),
        ({"parameters": [1]}, "field 'parameters' is no input"),
    ],
)
def test_what_is_wrong_is_named(tree: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        decode(tree)


@pytest.mark.parametrize("body", [b"", b"{", b'{"x": [1, 2', b"\xff"])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_generate(body, SIGNATURE)


def test_a_deep_value_is_refused() -> None:
    with pytest.raises(BadRequest):
        decode_generate(b'{"x": ' + b"[" * 200 + b"1" + b"]" * 200 + b"}", SIGNATURE)


def test_answers_are_values_and_lists() -> None:
    text = np.empty((1, 1), object)
    text[:] = "hé".encode()
    words = np.array([[b"a", b"b"], [b"c", b"d"]], object)
    outputs = [
        ("text", text), ("words", words), ("y", np.array([[1.5, 2.5]], np.float32)), ("n", np.array([7])),
        ("m", np.arange(4).reshape(2, 2)), ("half", np.array(0.5, np.float16)), ("b", np.array([True])),
        ("none", np.zeros((0, 2))), ("nan", np.array([np.nan])),
    ]  # fmt: skip
    found = json.loads(encode_generate("m", "3", "mine", outputs))
    assert str(found.pop("nan")) == "nan"
    assert found == {
        "model_name": "m", "model_version": "3", "id": "mine", "text": "hé", "words": [["a", "b"], ["c", "d"]],
        "y": [1.5, 2.5], "n": 7, "m": [[0, 1], [2, 3]], "half": 0.5, "b": True, "none": [],
    }  # fmt: skip
    assert "id" not in json.loads(encode_generate("m", "3", None, []))
    with pytest.raises(EngineFailed, match=r"output 't' holds bytes that are not UTF-8.*over gRPC"):
        encode_generate("m", "3", None, [("t", np.array([b"\xff"], object))])


KEYS = st.sampled_from(["text", "x", "flag", "id", "parameters", "other"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
VALUES = st.recursive(LEAVES, lambda c: st.lists(c, max_size=4) | st.dictionaries(KEYS, c, max_size=4), max_leaves=9)


@given(st.dictionaries(KEYS, VALUES))
def test_any_object_is_a_request_or_an_error_for_the_client(tree: dict[str, Any]) -> None:
    try:
        request = decode(tree)
    except BadRequest:
        return
    encode_generate("m", "1", request.id, list(request.inputs.items()))
