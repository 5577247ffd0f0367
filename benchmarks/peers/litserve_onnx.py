"""Any ONNX model as a LitServe API: raw float32 or {"data": rows} in. `python litserve_onnx.py PORT default|best`"""

import os
import sys

import litserve as ls
import numpy as np
import onnxruntime as ort
from fastapi import Request, Response


class Onnx(ls.LitAPI):
    def setup(self, device):
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", "1"))
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["ONNX"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def decode_request(self, request):
        return np.asarray(request["data"], np.float32)

    def batch(self, inputs):
        return np.concatenate(inputs)

    def predict(self, x):
        return self.session.run(None, {self.input: x})

    def unbatch(self, output):
        return [[a[i : i + 1] for a in output] for i in range(len(output[-1]))]

    def encode_response(self, output):
        return {f"output_{i}": a.tolist() for i, a in enumerate(output)}


class RawOnnx(Onnx):
    """The same over bytes."""

    shape = tuple(map(int, os.environ["SHAPE"].split(",")))

    async def decode_request(self, request: Request):
        return np.frombuffer(await request.body(), np.float32).reshape(self.shape)

    def encode_response(self, output):
        return Response(output[-1].tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    best, raw = sys.argv[2] == "best", os.environ.get("RAW") == "1"
    batching = {"max_batch_size": 64, "batch_timeout": 0.001} if best and os.environ["STACKS"] == "1" else {}
    api = (RawOnnx if raw else Onnx)(**batching)
    # its guide to speed: batching, and the queue over ZeroMQ
    options = {"fast_queue": True, "workers_per_device": 1} if best else {}
    server = ls.LitServer(api, accelerator="cpu", **options)
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="warning", access_log=False)
