"""Any ONNX model behind an Azure scoring script, for azureml-inference-server-http and for us alike."""

import json
import os

import numpy as np
import onnxruntime as ort


def init():
    global session, names  # noqa: PLW0603  # the contract of such scripts
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]


def run(raw_data):
    rows = np.array(json.loads(raw_data)["data"], dtype=np.float32)
    return {name: array.tolist() for name, array in zip(names, session.run(None, {"X": rows}), strict=True)}
