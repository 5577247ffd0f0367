"""What a model takes, what it refuses, and how a signature is written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadArtefact, BadRequest
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES

X = TensorSpec("x", "FP32", (-1, 4))
WORDS = TensorSpec("words", "BYTES", (-1,), optional=True)
Y = TensorSpec("y", "INT64", (-1,), labels=("a", "b"))
BOTH = Signature((X, WORDS), (Y,))

specs = st.builds(
    TensorSpec,
    st.text(max_size=5),
    st.sampled_from(list(DATATYPES)),
    st.lists(st.integers(-1, 9), max_size=4).map(tuple),
    st.booleans(),
    st.lists(st.text(max_size=3), max_size=3).map(tuple),
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(specs, max_size=3), st.lists(specs, max_size=3))
def test_json_and_back(inputs: list[TensorSpec], outputs: list[TensorSpec]) -> None:
    signature = Signature(tuple(inputs), tuple(outputs))
    assert Signature.from_json(signature.to_json()) == signature


@given(junk, junk)
def test_foreign_json_is_a_bad_artefact_or_a_signature(inputs: Any, outputs: Any) -> None:
    for tree in (inputs, {"inputs": inputs, "outputs": outputs}, {"inputs": [inputs], "outputs": [outputs]}):
        try:
            made = Signature.from_json(tree)
        except BadArtefact as e:
            assert e.message.startswith("signature: ")
        else:
            assert made.to_json().keys() == {"inputs", "outputs"}


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        ({"name": "x", "datatype": "FP8", "shape": [1]}, "has datatype 'FP8'; known: BOOL"),
        ({"name": "x", "datatype": "FP32"}, "needs name, datatype and shape"),
        ({"name": "x", "datatype": "FP32", "shape": "12"}, "needs name, datatype and shape"),
        ({"name": "x", "datatype": "FP32", "shape": [1.5]}, "needs name, datatype and shape"),
        ({"name": "x", "datatype": "FP32", "shape": [], "dtype": 1}, "unknown key 'dtype' in tensor 'x'"),
        ({"name": "x", "datatype": "FP32", "shape": [], "labels": "ab"}, "labels"),
        (["x", "FP32", [1]], "expected an object"),
    ],
)
def test_a_damaged_tensor(tensor: Any, told: str) -> None:
    with pytest.raises(BadArtefact) as caught:
        Signature.from_json({"inputs": [tensor], "outputs": []})
    assert told in caught.value.message


def test_what_fits() -> None:
    words = np.array([b"a"], object)
    BOTH.check("m", {"x": np.zeros((3, 4), np.float32)})
    BOTH.check("m", {"x": np.zeros((0, 4), np.float32), "words": words})
    BOTH.check("m", {"words": np.array(["a", "b"]), "x": np.zeros((1, 4), np.float32)})


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "model 'm': input 'x' is missing; it takes 'x', 'words', got none"),
        ({"X": (1, 4)}, "model 'm': input 'x' is missing; it takes 'x', 'words', got 'X'"),
        ({"x": (1, 5)}, "model 'm': input 'x' has shape [1,5], expected [-1,4]"),
        ({"x": (4,)}, "model 'm': input 'x' has shape [4], expected [-1,4]"),
        ({"x": (1, 4), "z": (1,)}, "model 'm': unexpected input 'z'; it takes 'x', 'words'"),
        ({"x": (1, 4), "words": (1,)}, "model 'm': input 'words' has datatype FP32, expected BYTES"),
    ],
)
def test_what_does_not_fit(inputs: dict[str, tuple[int, ...]], told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        BOTH.check("m", {name: np.zeros(shape, np.float32) for name, shape in inputs.items()})
    assert caught.value.message == told


def test_the_datatype_is_exact() -> None:
    with pytest.raises(BadRequest, match="datatype FP64, expected FP32"):
        BOTH.check("m", {"x": np.zeros((1, 4))})


@pytest.mark.parametrize(
    ("own", "shape", "fits"),
    [((), (), True), ((), (1,), False), ((-1, 2), (0, 2), True), ((-1, 2), (5, 3), False), ((1,), (1,), True)],
)
def test_shapes(own: tuple[int, ...], shape: tuple[int, ...], fits: bool) -> None:
    assert TensorSpec("x", "FP32", own).accepts(shape) is fits


@pytest.mark.parametrize(
    ("inputs", "outputs", "batched"),
    [((X,), (Y,), True), ((), (Y,), False), ((TensorSpec("s", "FP32", ()),), (Y,), False), ((X,), (), True),
     ((X,), (TensorSpec("n", "INT64", (1,)),), False)],
)  # fmt: skip
def test_batched(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], batched: bool) -> None:
    assert Signature(inputs, outputs).batched is batched


def test_by_name() -> None:
    assert (BOTH.input("words"), BOTH.input("y"), BOTH.output("y"), BOTH.output("x")) == (WORDS, None, Y, None)
