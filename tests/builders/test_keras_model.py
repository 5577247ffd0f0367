"""How a Keras model's tensors are named, and what synthetic data its inputs get."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable

import pytest
from gantline.builders.keras_model import _NUMBERED, _clean, _named


def test_numbered_names_are_not_kept() -> None:
    assert _named(["keras_tensor_12"], _NUMBERED, "input") == ["input"]
    assert _named(["input_layer", "age", "keras_tensor"], _NUMBERED, "input") == ["input_0", "age", "input_2"]
    assert _named(["", "score"], re.compile(""), "output") == ["output_0", "score"]
    assert _clean("my input/x") == "my_input_x"


STUDY = """
import json
import keras, numpy as np
from gantline.builders.keras_model import studied
from gantline.builders.tf_convert import drawer
L = keras.layers

def told(model):
    found = studied(model, None, "m")
    drawn = drawer(found.signature, found.rules())(64, 5)
    spans = {n: [str(min(a.ravel())), str(max(a.ravel())), list(a.shape)] for n, a in drawn.items()}
    return [[[t.name, t.datatype, list(t.shape)] for t in (*found.signature.inputs, *found.signature.outputs)], spans]

def inner():
    x = keras.Input((None,), name="words")
    return keras.Model(x, L.Embedding(30, 4)(x))

picture, words, city = keras.Input((4, 4, 1)), keras.Input((None,)), keras.Input((1,), dtype="string", name="city")
number = keras.Input((2,), name="number")
normal = L.Normalization(mean=[1000.0, 2000.0], variance=[1.0, 4.0])(number)
print(json.dumps({
    "picture": told(keras.Model(picture, L.Conv2D(2, 3)(L.Rescaling(1 / 255)(picture)))),
    "nested": told(keras.Model(words, L.GlobalAveragePooling1D(name="mean")(inner()(words)))),
    "text": told(keras.Model(city, L.StringLookup(vocabulary=["a", "b"])(city))),
    "normal": told(keras.Model(number, [L.Dense(1)(normal), L.Dense(2, name="two")(normal)])),
    "sequential": told(keras.Sequential([keras.Input((3,), dtype="int32"), L.Embedding(7, 2), L.Flatten()])),
}))
"""


@pytest.mark.oracle
@pytest.mark.slow
def test_signatures_and_ranges(tensorflow: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = tensorflow("-c", STUDY)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["picture"][0] == [["input", "FP32", [-1, 4, 4, 1]], ["output", "FP32", [-1, 2, 2, 2]]]
    assert float(found["picture"][1]["input"][1]) > 200
    assert found["nested"][0] == [["input", "FP32", [-1, -1]], ["mean", "FP32", [-1, 4]]]
    low, high, shape = found["nested"][1]["input"]
    assert (float(low), shape) == (0, [64, 5]) and 20 < float(high) < 30
    assert found["text"][0] == [["city", "BYTES", [-1, 1]], ["output", "INT64", [-1, 1]]]
    assert found["text"][1]["city"][:2] == ["b'a'", "b'unheard of'"]
    assert [t[0] for t in found["normal"][0]] == ["number", "output_0", "two"]
    assert float(found["normal"][1]["number"][0]) > 990
    assert found["sequential"][0][0] == ["input", "INT32", [-1, 3]]
    assert found["sequential"][1]["input"][:2] == ["0", "6"]
