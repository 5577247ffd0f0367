"""Parameter types by themselves; test_shim_schema.py holds them to inference-schema's."""

from __future__ import annotations

import numpy as np
import pytest
from gantline.accelerators.script.shim_types import NumpyParameterType, StandardPythonParameterType, convert


def test_conversion_goes_inside() -> None:
    kind = StandardPythonParameterType({"a": NumpyParameterType(np.array([[1, 2]], "int32")), "b": 1})
    found = convert({"a": [[3, 4]], "b": "left as it is"}, kind)
    assert found["a"].dtype == np.int32 and found["b"] == "left as it is"


def test_errors_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match="array has size 3 on dimension #1, while expected value is 2"):
        NumpyParameterType(np.array([[1, 2]])).deserialize_input([[1, 2, 3]])
    with pytest.raises(ValueError, match="with 2 dimensions is expected; input has 1"):
        NumpyParameterType(np.array([[1, 2]])).deserialize_input([1])


def test_mixed_arrays_are_beyond_swagger_two() -> None:
    assert StandardPythonParameterType([1, "a"]).supported_versions() == ["3.0", "3.1"]
    assert StandardPythonParameterType({"a": [1, 2]}).supported_versions() == ["2.0", "3.0", "3.1"]
    with pytest.raises(ValueError, match="cannot be None"):
        StandardPythonParameterType(None).input_to_swagger()
