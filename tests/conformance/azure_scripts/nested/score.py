"""@input_schema over a dictionary that holds arrays, and a list of them; the headers as well."""

import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

POINTS = NumpyParameterType(np.array([[1, 2]], dtype="int32"))


def init():
    pass


@input_schema("inputs", StandardPythonParameterType({"points": POINTS, "label": "a", "many": [1, 2]}))
@input_schema("arrays", StandardPythonParameterType([POINTS]))
@input_schema("flag", StandardPythonParameterType(True))
@output_schema(StandardPythonParameterType({"sum": 3, "who": "x"}))
def run(inputs, arrays, flag, request_headers):
    total = int(inputs["points"].sum()) + sum(int(a.sum()) for a in arrays)
    return {"sum": total, "dtype": str(inputs["points"].dtype), "flag": flag, "who": request_headers.get("X-Who")}
