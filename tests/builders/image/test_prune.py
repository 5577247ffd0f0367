"""What is left out of wheels."""

from __future__ import annotations

import pytest
from gantline.builders.image.prune import pruned_by


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("numpy/_core/tests/test_x.py", "tests"),
        ("numpy/_core/include/numpy/arrayobject.h", "headers"),
        ("numpy/__init__.pyi", "sources of extensions and types for checkers"),
        ("numpy/_core/lib/libnpymath.a", "files for linking"),
        ("x/__pycache__/y.cpython-311.pyc", "bytecode"),
        ("numpy/testing/__init__.py", ""),
        ("numpy/testing/tests", ""),
        ("numpy/f2py/__init__.py", ""),  # `from numpy import *`, which scipy does, asks for it
        ("tests/__init__.py", ""),
        ("sklearn/utils/_testing.py", ""),
        ("numpy.libs/libscipy_openblas64.so", ""),
        ("numpy-2.3.0.dist-info/METADATA", ""),
    ],
)
def test_rules(path: str, rule: str) -> None:
    assert pruned_by("numpy", path) == rule


def test_a_library_that_no_python_loads() -> None:
    assert pruned_by("onnxruntime", "onnxruntime/capi/libonnxruntime.so.1.31.1") == "libraries for C"
    assert pruned_by("onnxruntime", "onnxruntime/capi/libonnxruntime_providers_shared.so") == ""


def test_parts_of_a_distribution() -> None:
    assert pruned_by("onnxruntime", "onnxruntime/transformers/models/x.py") == "parts that make models"
    assert pruned_by("transformers", "onnxruntime/transformers/models/x.py") == ""
