"""Which interpreter converts, and what is said where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gantline.builders.source import Source
from gantline.builders.tf_child import _with_converters, interpreter

from gantline.errors import UsageError
from gantline.manifest import EnvironmentRequest


def test_this_interpreter_where_it_has_all() -> None:
    environment, elsewhere = interpreter(Source("m"), "m.keras", ("json", "zipfile"))
    assert (environment.python, elsewhere) == (Path(sys.executable), False)


def test_the_pip_command_where_it_lacks_something() -> None:
    with pytest.raises(
        UsageError, match=r"^m\.keras: packaging it needs no_tf and no_keras: pip install no_tf no_keras, or"
    ):
        interpreter(Source("m", environment=Path("current")), "m.keras", ("no_tf", "json", "no_keras"))


def test_converters_are_added_to_what_the_user_asks_for() -> None:
    asked = EnvironmentRequest("requirements", "", ("TensorFlow-CPU==2.21.0", "numpy<3", "--no-index"))
    found = _with_converters(asked, Path("r.txt")).requirements
    assert found[:3] == asked.requirements and {"tf2onnx", "onnx", "onnxruntime"} <= set(found) and "numpy" not in found
    hashed = EnvironmentRequest("requirements", "", ("numpy==2.0 --hash=sha256:00",))
    with pytest.raises(UsageError, match=r"r\.txt: a list with hashes must hold onnx, onnxruntime"):
        _with_converters(hashed, Path("r.txt"))
