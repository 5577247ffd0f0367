"""Small answers of MLflow's face and of V1's: what a form writes is what each protocol's long way writes."""

from __future__ import annotations

import numpy as np
import pytest

from gantline.tensors import Array
from gantline.wire.mlflow import encode_json
from gantline.wire.predictions_form import PredictionsForm
from gantline.wire.v1 import encode_predict

ANSWERS: list[list[Array]] = [
    [np.array([1, 2])],
    [np.array([[0.1, 0.7]], np.float32)],
    [np.array([3]), np.array([[0.1, 0.9]], np.float32)],
    [np.array([True]), np.array([[[1, 2]]], np.uint8), np.array([0.5])],
    [np.asfortranarray(np.arange(6.0).reshape(2, 3))],
]


@pytest.mark.parametrize("arrays", ANSWERS)
def test_answers_are_the_long_ways(arrays: list[Array]) -> None:
    names = ["a", 'b"', "c"][: len(arrays)]
    form = PredictionsForm.of(names, arrays, ())
    assert form is not None
    named = list(zip(names, arrays, strict=True))
    assert form.write(arrays) == encode_json(named) == encode_predict(named, False)


def test_only_what_is_wanted_is_answered() -> None:
    arrays: list[Array] = [np.array([1, 2]), np.array([[0.5, 0.5], [0.1, 0.9]])]
    form = PredictionsForm.of(["label", "p"], arrays, ("label",))
    assert form is not None and form.write(arrays) == b'{"predictions":[1,2]}'


def test_answers_that_are_written_the_long_way() -> None:
    text = np.array([b"a"], object)
    assert PredictionsForm.of(["a"], [text], ()) is None
    assert PredictionsForm.of(["a", "b"], [np.arange(2), np.arange(2)], ()) is None  # two rows of two outputs
    assert PredictionsForm.of(["a"], [np.array(1)], ()) is None
    assert PredictionsForm.of(["a"], [np.zeros(1 << 20)], ()) is None
    form = PredictionsForm.of(["a"], [np.array([0.5])], ())
    assert form is not None and form.write([np.array([np.nan])]) is None


@pytest.mark.parametrize("arrays", [*ANSWERS, [np.array([[0.5], [1.5]])], [np.array([3]), np.array([[0.25]])]])
def test_rows_of_one_number_are_told_as_the_long_way_tells_them(arrays: list[Array]) -> None:
    names = ["a", 'b"', "c"][: len(arrays)]
    form = PredictionsForm.of(names, arrays, (), "numbers")
    assert form is not None
    assert form.write(arrays) == encode_json(list(zip(names, arrays, strict=True)), "numbers")
    assert all(PredictionsForm.of(names, arrays, (), other) is None for other in ("records", "columns", "outputs"))
