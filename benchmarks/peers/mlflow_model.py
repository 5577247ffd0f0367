"""Save any ONNX model in MLflow's format. `python mlflow_model.py MODEL.onnx FOLDER`"""

import sys

import mlflow.onnx
import onnx

mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2], onnx_execution_providers=["CPUExecutionProvider"])
