"""What infer() gave, held to what its script says."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gantline.accelerators.script.arrays import unpack
from gantline.accelerators.script.contract import Refused
from gantline.accelerators.script.promise import Promise

from gantline.errors import ScriptFailed
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES, numpy_dtype

from .conftest import Start


def kept(datatype: str, value: Any) -> Any:
    promise = Promise({"y": (datatype, DATATYPES[datatype].numpy)}, "yielded")
    return unpack(*promise.pack({"y": value, "more": [1]}))["y"]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_what_is_as_promised_passes(datatype: str) -> None:
    if datatype == "BYTES":
        for value in (["a", "b"], np.array(["a", "b"]), np.array([b"a", b"b"]), np.array(["a", b"b"], object)):
            assert kept("BYTES", value).tolist() == [b"a", b"b"]
        assert kept("BYTES", "one").tolist() == b"one"
        return
    value = np.array([[0, 1]]).astype(numpy_dtype(datatype))
    found = kept(datatype, value)
    assert found.dtype == value.dtype and found.tolist() == value.tolist()


@pytest.mark.parametrize(
    ("datatype", "value", "dtype"),
    [
        ("FP32", [1.5], np.float32), ("FP32", [3], np.float32), ("FP16", np.array([0.5], np.float32), np.float16),
        ("UINT8", [255], np.uint8), ("INT32", [-7], np.int32), ("INT64", np.array([7], np.uint8), np.int64),
        ("BF16", [0.5], ml_dtypes.bfloat16), ("FP64", [True], np.float64),
    ],
)  # fmt: skip
def test_numbers_that_lose_nothing_are_turned_into_what_was_said(datatype: str, value: Any, dtype: Any) -> None:
    found = kept(datatype, value)
    assert found.dtype == dtype and found.astype(float).tolist() == np.asarray(value).astype(float).tolist()


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("BYTES", [5], r"output 'y' is BYTES \(str or bytes\), but infer\(\) yielded int64 of shape \[1\]"),
        ("BYTES", np.array(["a", 5], object), "yielded an element of type int"),
        ("BYTES", None, "yielded an element of type NoneType"),
        ("BYTES", [[0.5]], r"yielded float64 of shape \[1, 1\]"),
        ("INT64", ["a"], r"output 'y' is INT64, but infer\(\) yielded str of shape \[1\]"),
        ("INT64", [0.5], "yielded float64"),
        ("INT8", [300], "yielded int64"),
        ("UINT8", [-1], "yielded int64"),
        ("BOOL", [1], "yielded int64"),
        ("FP32", [b"a"], "yielded bytes"),
        ("FP32", [1j], "yielded complex128"),
        ("FP32", [[1], [1, 2]], "is not an array"),
    ],
)
def test_a_broken_promise_says_what_was_said_and_what_came(datatype: str, value: Any, words: str) -> None:
    with pytest.raises(Refused, match=words) as found:
        kept(datatype, value)
    assert found.value.status == 500 and "\n" not in found.value.message


def test_an_answer_that_is_no_mapping() -> None:
    with pytest.raises(Refused, match=r"infer\(\) returned list; each answer is a dictionary"):
        Promise({}, "returned").pack([1])


def test_a_script_that_returns_is_held_to_it_too(start: Start) -> None:
    signature = Signature((TensorSpec("x", "FP32", (-1,)),), (TensorSpec("t", "BYTES", (-1,)),))
    engine = start("def infer(inputs): return {'t': inputs['x']}", contract="tensors", signature=signature)
    with pytest.raises(ScriptFailed, match=r"model 'scripted': output 't' is BYTES .* returned float32 of shape \[2\]"):
        engine.run({"x": np.zeros(2, np.float32)}, ["t"])
