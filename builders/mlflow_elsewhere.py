"""What this interpreter cannot load of an MLflow model: in an environment of the versions that MLflow recorded.

MLflow's own requirement is left out, since nothing of it converts a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gantline.accelerators.script.environment import prepare, read_request
from gantline.accelerators.script.request_file import CONSTRAINT

from gantline.errors import Unavailable, UsageError
from gantline.manifest import EnvironmentRequest

from .boosters import DISTRIBUTIONS, FRAMEWORKS
from .from_pickle import SUFFIXES, wants_environment
from .isolated import Isolated
from .mlflow_model import MlflowModel
from .source import Conversion, Source

_BUILDERS = "gantline.builders"
_MLFLOW = re.compile(r"mlflow(?:-skinny|-tracing)?(?![\w.-])", re.IGNORECASE)
# nothing but these is installed for a file that nobody needs to trust: no address, no other name
_PLAIN = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:[=<>!~]=?[\w.*+!,=<>~ -]*)?")
_BESIDE = ("numpy", "onnx", "onnxruntime", "packaging", "pyyaml", "scikit-learn", "scipy", "skl2onnx", "skops")


def is_elsewhere(flavor: str, converter: Any, source: Source) -> bool:
    """Whether it is a booster's own file whose framework is not here, or is asked for by --env."""
    if flavor not in FRAMEWORKS or getattr(converter, "__name__", "") != f"{_BUILDERS}.from_{flavor}":
        return False
    if source.environment is not None:
        return str(source.environment) != "current"
    return find_spec(flavor) is None


def convert(model: MlflowModel, flavor: str, source: Source, work: Path) -> Conversion:
    """By the flavor's converter in a child that has its framework. UsageError where no version of it was recorded."""
    request = read_request(source.environment) if source.environment is not None else model.environment()[0]
    wanted = (*DISTRIBUTIONS[flavor], *_BESIDE)
    lines = [line for line in request.requirements if line.startswith(CONSTRAINT) or _name(line) in wanted]
    names = {_name(line) for line in lines}
    if not names & set(DISTRIBUTIONS[flavor]):
        raise UsageError(
            f"{source.path}: reading it needs {FRAMEWORKS[flavor]}, whose version is not recorded beside it: "
            f"pip install {flavor}, or --env a requirements file with {flavor}==VERSION"
        )
    asked = (*lines, *(name for name in _BESIDE if name not in names))
    try:
        environment = prepare(EnvironmentRequest("requirements", "", asked))
    except Unavailable as e:
        raise Unavailable(
            f"{source.path}: {FRAMEWORKS[flavor]} is not here, and no environment with it can be made ({e.message}); "
            f"where it can be installed: pip install {flavor}"
        ) from e
    child = Isolated(environment, str(source.path), f"{_BUILDERS}.from_{flavor}")
    made = child.convert(source, work)
    named = next(line for line in lines if _name(line) in DISTRIBUTIONS[flavor])
    made.notes = (*made.notes, f"loaded with {named}, as recorded, in an environment of its own")
    return made


def with_recorded(model: MlflowModel, source: Source, work: Path) -> Source:
    """The source with the recorded environment, for a pickle that needs more than scikit-learn and is trusted."""
    path = source.path
    if source.environment is not None or not source.trust_pickle or path is None:
        return source
    if path.suffix.lower() not in SUFFIXES or not wants_environment(path):
        return source
    lines = [line for line in model.environment()[0].requirements if not _MLFLOW.match(line)]
    if not lines:
        return source
    return replace(source, environment=_written(lines, work))


def _written(lines: Iterable[str], work: Path) -> Path:
    path = work / "recorded.txt"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def _name(line: str) -> str:
    found = _PLAIN.fullmatch(line)
    return found[1].lower().replace("_", "-") if found else ""
