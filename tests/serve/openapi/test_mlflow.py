"""/invocations described: the example is one that the codec reads, and a script declares its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gantline.serve.openapi.mlflow import MLFLOW, invoke
from gantline.serve.openapi.operation import Script, Subject

from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array
from gantline.wire.mlflow import CSV, FORMS, JSON, LINES, decode_tree
from gantline.wire.tabular import Table

ONE = Signature((TensorSpec("x", "FP32", (-1, 2)),), ())
TWO = Signature((TensorSpec("x", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1,), optional=True)), ())
X = np.array([[1.5, np.nan]], np.float32)


@pytest.mark.parametrize(
    ("signature", "sample"), [(ONE, {"x": X}), (TWO, {"x": X, "t": np.array([b"ab"], object)}), (TWO, {"x": X})]
)
def test_the_example_is_read(signature: Signature, sample: dict[str, Array]) -> None:
    exact = invoke(Subject("m", "1", signature, sample))
    assert exact is not None
    body, answer = exact
    inputs = decode_tree(json.loads(json.dumps(body.example)), Table(signature)).inputs
    signature.check("m", inputs)
    assert list(inputs) == list(sample) and set(answer.media) == {JSON, CSV, LINES}
    assert [one["required"] for one in body.schema["oneOf"]] == [[f] for f in FORMS]


def test_what_cannot_be_written_has_no_example() -> None:
    exact = invoke(Subject("m", "1", TWO, {"x": X, "t": np.array([b"\xff"], object)}))
    assert exact is not None and exact[0].example is None
    assert invoke(Subject("m", "1", Signature((), ()))) is None
    one = invoke(Subject("m", "1", Signature((TensorSpec("x", "INT8", ()),), ()), {"x": np.array(0, np.int8)}))
    assert one is not None and one[0].example is None


def test_a_script_declares_its_own() -> None:
    takes = {"type": "object", "example": {"a": 1}}
    exact = invoke(Subject("s", "1", Signature((), ()), script=Script(takes, {"type": "array"})))
    assert exact is not None and exact[0].example == {"a": 1}


def test_only_predictions_are_asked_of_a_model() -> None:
    assert [o.path for o in MLFLOW.operations if o.asks] == ["/invocations", "/models/{name}/invoke"]
