"""Workloads: the models run, are the same each time, and wrong answers are seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from workloads import answers, make, mlp, resnet50

from gantline.wire import v2

EXPECTED = np.array([[0.25, 0.5, 0.25]], np.float32)


def test_an_answer_in_any_wire() -> None:
    as_v2 = {"outputs": [{"name": "label", "data": [1]}, {"data": EXPECTED.ravel().tolist(), "shape": [1, 3]}]}
    assert answers(json.dumps(as_v2).encode(), EXPECTED)
    assert answers(json.dumps({"predictions": [{"p": EXPECTED.tolist()}]}).encode(), EXPECTED)
    assert answers(b'{"outputs":[]}' + EXPECTED.tobytes(), EXPECTED)


def test_a_wrong_answer() -> None:
    assert not answers(b'{"data": [0.25, 0.25, 0.5]}', EXPECTED)
    assert not answers(b'{"data": [0.25]}', EXPECTED)
    assert not answers(b'{"error": "no such model"}', EXPECTED)
    assert not answers(b"\xff" * 12, EXPECTED)
    assert not answers(b"", EXPECTED)


def test_a_workload_is_what_a_server_would_answer(tmp_path: Path) -> None:
    workload = make("b", tmp_path / "b")
    session = ort.InferenceSession(workload.model)
    request = v2.decode_request(workload.v2().data)
    (answer,) = session.run(None, {"X": request.inputs["X"]})
    assert answers(answer.tobytes(), workload.expected)
    body = workload.v2(binary=True)
    again = v2.decode_request(body.data, int(body.headers["Inference-Header-Content-Length"]))
    assert np.array_equal(again.inputs["X"], workload.row)


def test_the_same_model_each_time() -> None:
    assert mlp((8, 4, 2)).SerializeToString() == mlp((8, 4, 2)).SerializeToString()
    assert resnet50().SerializeToString() == resnet50().SerializeToString()


def test_resnet50_takes_an_image_and_nothing_else() -> None:
    graph = resnet50().graph
    assert [i.name for i in graph.input] == ["X"]
    assert [o.name for o in graph.output] == ["Y"]
    assert sum(node.op_type == "Conv" for node in graph.node) == 53
