"""Synthetic data for a signature. Conversions themselves: test_from_keras, test_from_saved_model."""

from __future__ import annotations

import numpy as np
from gantline.builders.tf_convert import WORDS, drawer, one_of

from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature(
    (
        TensorSpec("x", "FP32", (-1, 3)),
        TensorSpec("n", "INT64", ()),
        TensorSpec("text", "BYTES", (-1, -1)),
        TensorSpec("kind", "INT32", (-1, 1)),
        TensorSpec("on", "BOOL", (2,)),
    ),
    (),
)


def test_shapes_datatypes_and_rules() -> None:
    draw = drawer(SIGNATURE, {"kind": lambda random, shape: random.integers(5, 9, shape)})
    found = draw(40, 7)
    shapes = {n: a.shape for n, a in found.items()}
    assert shapes == {"x": (40, 3), "n": (), "text": (40, 7), "kind": (40, 1), "on": (2,)}
    assert [a.dtype.name for a in found.values()] == ["float32", "int64", "object", "int32", "bool"]
    assert set(found["kind"].ravel()) == {5, 6, 7, 8}
    assert set(found["text"].ravel()) == set(WORDS)
    again = draw(40, 7)
    assert all(np.array_equal(found[n], again[n]) for n in found)


def test_texts_of_a_list() -> None:
    found = one_of((b"a", b"b"))(np.random.default_rng(0), (50, 1))
    assert found.shape == (50, 1) and set(found.ravel()) == {b"a", b"b"}
