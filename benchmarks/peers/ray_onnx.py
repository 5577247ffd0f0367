"""Any ONNX model as a Ray Serve deployment. `python ray_onnx.py PORT default|best`"""

import os
import signal
import sys

import numpy as np
import onnxruntime as ort
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

RAW = os.environ.get("RAW") == "1"
SHAPE = tuple(map(int, os.environ["SHAPE"].split(",")))


class Onnx:
    def __init__(self, path, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    async def __call__(self, request: Request):
        if RAW:
            rows = np.frombuffer(await request.body(), np.float32).reshape(SHAPE)
        else:
            rows = np.asarray((await request.json())["data"], np.float32)
        found = await self.predict(rows)
        return Response(found[-1].tobytes()) if RAW else [a.tolist() for a in found]

    async def predict(self, rows):
        return self.session.run(None, {self.input: rows})


class Batched(Onnx):
    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)
    async def predict(self, many):
        found = self.session.run(None, {self.input: np.concatenate(many)})
        return [[a[i : i + 1] for a in found] for i in range(len(many))]


if __name__ == "__main__":
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])}, logging_config={"enable_access_log": False}
    )
    best = sys.argv[2] == "best"
    kind = Batched if best and os.environ["STACKS"] == "1" else Onnx
    options = {"max_ongoing_requests": 256} if best else {}
    deployment = serve.deployment(kind, name="onnx", **options)
    serve.run(deployment.bind(os.environ["ONNX"], int(os.environ.get("THREADS", "1"))), name="app", route_prefix="/")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
