"""Entries of a Triton repository for tests: real ONNX models under a config.pbtxt, and a model.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from gantline.tensors import Array

FULL = """
name: "scores"
backend: "onnxruntime"
max_batch_size: 16
input [ { name: "PIXELS" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 2, 3 ] reshape { shape: [ 6 ] } } ]
output [
  { name: "SCORES" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" },
  { name: "BEST" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }
]
version_policy: { specific: { versions: [ 1, 3 ] } }
default_model_filename: "net.onnx"
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 200 priority_levels: 3
  default_priority_level: 2 default_queue_policy { default_timeout_microseconds: 2000000 max_queue_size: 100 } }
instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0 ] } ]
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
parameters { key: "execution_mode" value { string_value: "0" } }
optimization { graph { level: 1 } input_pinned_memory { enable: false } }
response_cache { enable: true }
metric_tags { key: "team" value: "vision" }
model_warmup { name: "one" batch_size: 2
  inputs { key: "PIXELS" value { data_type: TYPE_FP32 dims: [ 2, 3 ] input_data_file: "pixels" } } }
"""
# every key of FULL that nothing here acts on
LEFT = (
    "input 'PIXELS' format", "instance_group.gpus", "instance_group.kind KIND_GPU", "metric_tags",
    "optimization.graph", "optimization.input_pinned_memory", "parameters 'execution_mode'", "response_cache",
)  # fmt: skip


def scorer(path: Path, scale: float = 1.0, extra: str = "") -> Path:
    """PIXELS [N,6] -> SCORES [N,3] = softmax(PIXELS @ W), BEST [N] = its argmax, HIDDEN [N,3] before the softmax."""
    weight = numpy_helper.from_array(WEIGHT * np.float32(scale), "W")
    nodes = [
        helper.make_node("MatMul", ["PIXELS", "W"], ["HIDDEN"]),
        helper.make_node("Softmax", ["HIDDEN"], ["SCORES"], axis=1),
        helper.make_node("ArgMax", ["SCORES"], ["BEST"], axis=1, keepdims=0),
    ]
    info = helper.make_tensor_value_info
    outputs = [info("HIDDEN", 1, ["N", 3]), info("SCORES", 1, ["N", 3]), info("BEST", 7, ["N"])]
    graph = helper.make_graph(nodes, "g", [info("PIXELS", 1, ["N", 6])], outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


WEIGHT = np.sin(np.arange(18, dtype=np.float32) ** 2).reshape(6, 3)


def entry(folder: Path, text: str = FULL) -> Path:
    """An entry `scores` with versions 1 to 3, and all that FULL names."""
    place = folder / "scores"
    for version in (1, 2, 3):
        scorer(place / str(version) / "net.onnx", scale=version)
    (place / "config.pbtxt").write_text(text)
    (place / "labels.txt").write_text("cat\ndog\nemu\n")
    (place / "warmup").mkdir()
    (place / "warmup" / "pixels").write_bytes(np.zeros(12, np.float32).tobytes())
    return place


def expected(pixels: Array, version: int) -> Array:
    """SCORES by numpy alone."""
    raised = np.exp(pixels.reshape(len(pixels), 6) @ (WEIGHT * np.float32(version)))
    scores: Array = raised / raised.sum(axis=1, keepdims=True)
    return scores


MODEL_PY = """
import json
import os

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.kind = pb_utils.triton_string_to_numpy(pb_utils.get_output_config_by_name(config, "SUM")["data_type"])
        self.offset = float(config["parameters"]["offset"]["string_value"])
        with open(os.path.join(args["model_repository"], args["model_version"], "table.txt")) as f:
            self.words = f.read().split()

    def execute(self, requests):
        responses = []
        for request in requests:
            a = pb_utils.get_input_tensor_by_name(request, "A").as_numpy()
            b = pb_utils.get_input_tensor_by_name(request, "B")
            if (a < 0).any():
                responses.append(pb_utils.InferenceResponse(error=pb_utils.TritonError("A is negative")))
                continue
            total = a + (0 if b is None else b.as_numpy()) + self.offset
            words = np.array([[self.words[int(row.sum()) % len(self.words)].encode()] for row in total], object)
            responses.append(pb_utils.InferenceResponse([
                pb_utils.Tensor("SUM", total.astype(self.kind)), pb_utils.Tensor("WORD", words),
            ]))
        return responses
"""
PYTHON = """
name: "adder"
backend: "python"
max_batch_size: 8
input [ { name: "A" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "B" data_type: TYPE_FP32 dims: [ 2 ] optional: true } ]
output [ { name: "SUM" data_type: TYPE_FP64 dims: [ 2 ] }, { name: "WORD" data_type: TYPE_STRING dims: [ 1 ] } ]
parameters { key: "offset" value { string_value: "0.5" } }
dynamic_batching { }
"""
DECOUPLED_PY = """
import threading

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            count = int(pb_utils.get_input_tensor_by_name(request, "N").as_numpy()[0])
            threading.Thread(target=self.send, args=(sender, count)).start()

    def send(self, sender, count):
        for i in range(count):
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("I", np.array([i], np.int64))]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
DECOUPLED = """
backend: "python"
input { name: "N" data_type: TYPE_INT64 dims: [ 1 ] }
output { name: "I" data_type: TYPE_INT64 dims: [ 1 ] }
model_transaction_policy { decoupled: true }
"""


def python_entry(folder: Path, model: str = MODEL_PY, text: str = PYTHON, name: str = "adder") -> Path:
    """An entry of the python backend, with a file beside model.py that it reads."""
    place = folder / name
    (place / "1").mkdir(parents=True)
    (place / "1" / "model.py").write_text(model)
    (place / "1" / "table.txt").write_text("zero one two three")
    (place / "config.pbtxt").write_text(text)
    return place
