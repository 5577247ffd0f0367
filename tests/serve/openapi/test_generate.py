"""Generate's operations for one model: a field for each input, and the sample as the codec reads it."""

from __future__ import annotations

import json

import numpy as np
from gantline.serve.openapi.generate import GENERATE, events, generate
from gantline.serve.openapi.operation import Subject

from gantline.signature import Signature, TensorSpec
from gantline.wire.generate import decode_generate

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1,))), (TensorSpec("y", "BYTES", (1,)),)
)
SAMPLE = {"x": np.array([[1.5, 2.0]], np.float32), "t": np.array([b"ab"], object)}


def test_fields_are_inputs() -> None:
    exact = generate(Subject("m", "1", SIGNATURE, SAMPLE))
    assert exact is not None
    body, answer = exact
    assert body.schema["required"] == ["x", "t"] and set(body.schema["properties"]) == {"x", "t"}
    found = decode_generate(json.dumps(body.example).encode(), SIGNATURE)
    SIGNATURE.check("m", found.inputs)
    assert "y" in answer.media["application/json"]["properties"]
    assert generate(Subject("m", "1", Signature((), ()))) is None


def test_a_stream_is_events() -> None:
    exact = events(Subject("m", "1", SIGNATURE, SAMPLE))
    assert exact is not None and set(exact[1].media) == {"text/event-stream"}
    assert len(GENERATE.operations) == 4 and all(o.asks for o in GENERATE.operations)


def test_what_cannot_be_written_has_no_example() -> None:
    exact = generate(Subject("m", "1", SIGNATURE, {**SAMPLE, "t": np.array([b"\xff"], object)}))
    assert exact is not None and exact[0].example is None
