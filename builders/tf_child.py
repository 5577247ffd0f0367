"""Which interpreter converts a model of TensorFlow's or Keras's: this one if it has them, or one that --env makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from gantline.accelerators.script.environment import Environment, prepare, read_request

from gantline.errors import UsageError
from gantline.manifest import EnvironmentRequest

from .source import Source

# parity is with what a CPU computes, and TensorFlow says much at its start
VARIABLES = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
_CONVERTERS = ("numpy", "onnx", "onnxruntime", "packaging", "pyyaml", "tf2onnx")  # beside the framework itself


def interpreter(source: Source, where: str, modules: Iterable[str]) -> tuple[Environment, bool]:
    """The interpreter, and whether it is another than this one. UsageError prints the pip command for what is missing.

    With --env a requirements file, an environment is made of it, with what converts beside it.
    """
    if source.environment is not None and str(source.environment) != "current":
        request = read_request(source.environment)
        return prepare(_with_converters(request, source.environment)), True
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{where}: packaging it needs {' and '.join(missing)}: pip install {' '.join(missing)}, or name a "
            "requirements file that has the framework: --env FILE"
        )
    return prepare(EnvironmentRequest()), False


def _with_converters(request: EnvironmentRequest, file: Path) -> EnvironmentRequest:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    named = set()
    for line in request.requirements:
        try:
            named.add(canonicalize_name(Requirement(line.split(" --hash", 1)[0]).name))
        except InvalidRequirement:
            continue  # options and bare URLs have no name
    if any("--hash" in line for line in request.requirements):
        missing = [n for n in _CONVERTERS if n not in named]
        if missing:
            raise UsageError(f"{file}: a list with hashes must hold {', '.join(missing)} too, which convert the model")
    added = tuple(n for n in _CONVERTERS if n not in named)
    return replace(request, requirements=(*request.requirements, *added))
