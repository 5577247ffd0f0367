"""The iris model behind an Azure scoring script, for azureml-inference-server-http and for us alike."""

import json
import os

import numpy as np
import onnxruntime as ort


def init():
    global session  # noqa: PLW0603  # the contract of such scripts
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(raw_data):
    rows = np.array(json.loads(raw_data)["data"], dtype=np.float32)
    label, probabilities = session.run(None, {"X": rows})
    return {"label": label.tolist(), "probabilities": probabilities.tolist()}
