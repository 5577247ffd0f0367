"""A model as MLflow keeps one: `image_mlflow.py MODEL REQUIREMENTS TARGET [CODE]`; a pickle wants CODE."""

import sys
from pathlib import Path

import mlflow
import numpy as np
import onnx
from mlflow.models import infer_signature

model, requirements, target, *code = sys.argv[1:]
pins = [f"mlflow=={mlflow.__version__}", *Path(requirements).read_text().split()]
if code:
    mlflow.pyfunc.save_model(target, python_model=code[0], artifacts={"model": model}, pip_requirements=pins)
else:
    program = onnx.load(model)
    given = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in program.graph.input}
    held = {i.name for i in program.graph.initializer}
    rows = {name: np.zeros(shape, np.float32) for name, shape in given.items() if name not in held}
    mlflow.onnx.save_model(program, target, signature=infer_signature(rows), pip_requirements=pins)
