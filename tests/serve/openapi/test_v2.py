"""V2's operations for one model: its tensors by name, and the sample as a request that the codec reads."""

from __future__ import annotations

import json

import numpy as np
from gantline.serve.openapi.operation import JSON, OCTETS, Subject
from gantline.serve.openapi.v2 import V2, example, infer, request

from gantline.signature import Signature, TensorSpec
from gantline.wire.v2 import decode_request

X, Z = TensorSpec("x", "FP32", (-1, 2)), TensorSpec("z", "INT64", (-1,), optional=True)
Y = TensorSpec("y", "FP32", (-1, 3), labels=("a", "b", "c"))
SIGNATURE = Signature((X, Z), (Y,))
SAMPLE = {"x": np.array([[1.5, 2.0]], np.float32)}


def test_inputs_by_name() -> None:
    listed = request(SIGNATURE)["properties"]["inputs"]
    assert (listed["minItems"], listed["maxItems"]) == (1, 2)
    assert [one["properties"]["name"]["const"] for one in listed["items"]["anyOf"]] == ["x", "z"]
    assert "allOf" not in listed
    both = request(Signature((X, TensorSpec("w", "BOOL", (-1,))), (Y,)))["properties"]["inputs"]
    assert [c["contains"]["properties"]["name"]["const"] for c in both["allOf"]] == ["x", "w"]
    assert request(SIGNATURE)["properties"]["outputs"]["items"]["properties"]["name"] == {"enum": ["y"]}


def test_the_example_is_a_request_that_fits() -> None:
    subject = Subject("m", "1", SIGNATURE, SAMPLE, {"sequence_id": 1}, True)
    found = decode_request(json.dumps(example(subject)).encode())
    SIGNATURE.check("m", found.inputs)
    assert found.parameters == {"sequence_id": 1} and np.array_equal(found.inputs["x"], SAMPLE["x"])
    assert example(Subject("m", "1", SIGNATURE)) is None
    large = {"x": np.zeros((3000, 2), np.float32)}
    assert example(Subject("m", "1", SIGNATURE, large)) is None


def test_infer_takes_json_and_bytes() -> None:
    exact = infer(Subject("m", "1", SIGNATURE, SAMPLE))
    assert exact is not None
    body, answer = exact
    assert body.content_type == JSON and OCTETS in body.media and {JSON, OCTETS} == set(answer.media)
    assert infer(Subject("script", "1", Signature((), ()))) is None


def test_the_face_names_its_schemas() -> None:
    text = json.dumps([request(SIGNATURE), *(o.body.schema for o in V2.operations if o.body)])
    for name in ("Parameters", "Tensor"):
        assert f"#/components/schemas/{name}" in text and name in V2.schemas
