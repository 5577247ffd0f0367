"""@input_schema over a data frame with several dtypes."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

SAMPLE = pd.DataFrame({"age": [41, 7], "name": ["ann", "bo"], "when": pd.to_datetime(["2024-01-02", "2025-03-04"])})


def init():
    pass


@input_schema("table", PandasParameterType(SAMPLE))
@output_schema(StandardPythonParameterType({"rows": 2, "kinds": ["int64"]}))
def run(table):
    return {"rows": len(table), "ages": [int(a) for a in table["age"]], "columns": list(table.columns)}
