"""Any ONNX model as a BentoML service; BATCH=1: its adaptive batching. `bentoml serve bentoml_onnx:Onnx`"""

import os

import bentoml
import numpy as np
import onnxruntime as ort

BATCH = os.environ.get("BATCH") == "1"
SERVICE = {"workers": int(os.environ["WORKERS"])} if "WORKERS" in os.environ else {}


@bentoml.service(logging={"access": {"enabled": False}}, **SERVICE)
class Onnx:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", "1"))
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["ONNX"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    @bentoml.api(batchable=BATCH, max_batch_size=64)
    def predict(self, data: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.input: data.astype(np.float32, copy=False)})[-1]
