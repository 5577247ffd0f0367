"""V1's operations for one model: rows where it has rows, and an example that the codec reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gantline.accelerators.script.engine import SCORE
from gantline.serve.openapi.operation import Subject
from gantline.serve.openapi.v1 import V1, predict

from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array
from gantline.wire.v1 import decode_predict

X, T = TensorSpec("x", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1,))
SAMPLE = {"x": np.array([[1.5, 2.0]], np.float32), "t": np.array([b"ab"], object), "s": np.array(3.0)}


@pytest.mark.parametrize(
    ("inputs", "key"), [((X,), "instances"), ((X, T), "instances"), ((TensorSpec("s", "FP64", ()),), "inputs")]
)
def test_the_example_is_read(inputs: tuple[TensorSpec, ...], key: str) -> None:
    signature = Signature(inputs, (X,))
    exact = predict(Subject("m", "1", signature, SAMPLE))
    assert exact is not None and exact[0].schema["required"] == [key]
    found = decode_predict(json.dumps(exact[0].example).encode(), signature, "m").inputs
    signature.check("m", found)
    assert {n: a.tolist() for n, a in found.items()} == {t.name: SAMPLE[t.name].tolist() for t in inputs}


def test_what_has_no_example() -> None:
    none: dict[str, Array] = {}
    exact = predict(Subject("m", "1", Signature((X,), (X,)), none))
    assert exact is not None and exact[0].example is None
    assert predict(Subject("m", "1", Signature((), ()))) is None
    assert predict(Subject("m", "1", SCORE)) is None


def test_operations() -> None:
    assert sum(o.asks for o in V1.operations) == 2 and all(o.path.startswith("/v1/models") for o in V1.operations)
