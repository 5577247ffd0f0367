"""A sample that swagger 2 cannot describe: an array of mixed types."""

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


@input_schema("row", StandardPythonParameterType([1, "a", 2.5]))
@output_schema(StandardPythonParameterType("a"))
def run(row):
    return len(row)
