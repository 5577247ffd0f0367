"""Any ONNX model in Triton's Python backend: requests that Triton hands over together run together."""

import json
import os
import sys

# the stub's interpreter is isolated: it does not look at PYTHONPATH by itself
sys.path[:0] = os.environ["PYTHONPATH"].split(":")

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        options.inter_op_num_threads = 1
        path = config["parameters"]["onnx"]["string_value"]
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = [o.name for o in self.session.get_outputs()]
        self.stacks = config["max_batch_size"] > 0

    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(r, self.input).as_numpy() for r in requests]
        if self.stacks and len(tensors) > 1:
            return self._run(np.concatenate(tensors), [len(t) for t in tensors])
        return [self._run(t, [len(t)])[0] for t in tensors]

    def _run(self, rows, sizes):
        found = self.session.run(None, {self.input: rows})
        ends = np.cumsum(sizes)
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(n, a[end - size : end]) for n, a in zip(self.outputs, found, strict=True)]
            )
            for size, end in zip(sizes, ends, strict=True)
        ]
