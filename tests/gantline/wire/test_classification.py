"""The top k of each row as "value:index[:label]"."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gantline.errors import BadRequest
from gantline.signature import TensorSpec
from gantline.tensors import numpy_dtype
from gantline.wire.classification import classify

SPEC = TensorSpec("p", "FP32", (-1, 3), labels=("cat", "dog"))
ROWS = np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]], np.float32)


def test_rows_of_a_batch() -> None:
    got = classify(ROWS, SPEC, 2, batched=True)
    assert got.tolist() == [[b"0.700000:1:dog", b"0.200000:2"], [b"0.500000:0:cat", b"0.500000:1:dog"]]


def test_a_model_without_batches_is_one_row() -> None:
    assert classify(ROWS[0], SPEC, 1, batched=False).tolist() == [b"0.700000:1:dog"]
    assert classify(ROWS, None, 1, batched=False).tolist() == [b"0.700000:1"]
    assert classify(ROWS[0], None, 2, batched=True).tolist() == [b"0.700000:1", b"0.200000:2"]


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "BOOL", "FP16", "BF16", "FP64"])
def test_every_kind_of_number(datatype: str) -> None:
    got = classify(np.array([[0, 1, 0]]).astype(numpy_dtype(datatype)), None, 1, batched=True)
    assert got.tolist() == [[b"1.000000:1"]]


def test_k_is_cut_to_what_there_is() -> None:
    assert classify(ROWS, SPEC, 1 << 60, batched=True).shape == (2, 3)
    assert classify(ROWS[:0], SPEC, 2, batched=True).shape == (0, 2)
    assert classify(ROWS[:, :0], SPEC, 2, batched=True).shape == (2, 0)
    assert classify(ROWS[:0, :0], None, 2, batched=False).shape == (0,)
    assert classify(np.zeros((2, 2, 2), np.float32), None, 9, batched=True).shape == (2, 4)


def test_nan_comes_last_and_infinity_first() -> None:
    got = classify(np.array([[np.nan, 1, np.inf, -np.inf]], np.float32), None, 4, batched=True)
    assert [e.split(b":")[1] for e in got[0]] == [b"2", b"1", b"3", b"0"]


@pytest.mark.parametrize("array", [np.array([b"a"], object), np.array(1.0)])
def test_what_cannot_be_ranked(array: np.ndarray) -> None:
    with pytest.raises(BadRequest, match="output 'p' cannot be classified"):
        classify(array, SPEC, 1, batched=True)


@given(npst.arrays(np.float32, (3, 5), elements=st.floats(-100, 100, width=32)), st.integers(1, 6))
def test_the_best_are_the_best(rows: np.ndarray, k: int) -> None:
    for row, best in zip(rows, classify(rows, None, k, batched=True), strict=True):
        indices = [int(e.split(b":")[1]) for e in best]
        assert [row[i] for i in indices] == sorted(row, reverse=True)[: len(indices)]
        assert len(set(indices)) == min(k, 5)
