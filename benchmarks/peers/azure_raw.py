"""Any ONNX model behind an Azure scoring script that takes and gives bytes, for azureml-inference-server-http."""

import os

import numpy as np
import onnxruntime as ort
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    global session, shape  # noqa: PLW0603  # the contract of such scripts
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("THREADS", "1"))
    options.inter_op_num_threads = 1
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shape = tuple(map(int, os.environ["SHAPE"].split(",")))


@rawhttp
def run(request):
    rows = np.frombuffer(request.get_data(), np.float32).reshape(shape)
    return AMLResponse(session.run(None, {"X": rows})[-1].tobytes(), 200)
