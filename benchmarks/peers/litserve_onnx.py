"""Any ONNX model as a LitServe API: {"data": rows or base64}. `python litserve_onnx.py PORT default|best`"""

import base64
import os
import sys

import litserve as ls
import numpy as np
import onnxruntime as ort

SHAPE = tuple(map(int, os.environ["SHAPE"].split(",")))


class Onnx(ls.LitAPI):
    def setup(self, device):
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", "1"))
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["ONNX"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def decode_request(self, request):
        if isinstance(request["data"], str):
            return np.frombuffer(base64.b64decode(request["data"]), np.float32).reshape(SHAPE)
        return np.asarray(request["data"], np.float32)

    def batch(self, inputs):
        return np.concatenate(inputs)

    def predict(self, x):
        return self.session.run(None, {self.input: x})

    def unbatch(self, output):
        return [[a[i : i + 1] for a in output] for i in range(len(output[-1]))]

    def encode_response(self, output):
        return {f"output_{i}": a.tolist() for i, a in enumerate(output)}


if __name__ == "__main__":
    best = sys.argv[2] == "best"
    batching = {"max_batch_size": 64, "batch_timeout": 0.001} if best and os.environ["STACKS"] == "1" else {}
    api = Onnx(**batching)
    # its guide to speed: batching, and the queue over ZeroMQ
    options = {"fast_queue": True, "workers_per_device": 1} if best else {}
    server = ls.LitServer(api, accelerator="cpu", **options)
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="warning", access_log=False)
