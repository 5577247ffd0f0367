"""Generated script: what an estimator or a booster without a faithful ONNX stands behind.

A package of one holds the model's own file, a script that loads it and answers as the ONNX would have, and a request
for the versions it was made with. What differs from framework to framework is the script's text and the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from gantline.accelerators.script.request_file import read_request

from gantline.manifest import EnvironmentRequest, ScriptInfo
from gantline.signature import Signature

from .boosters import version_of
from .sklearn_answers import Answer
from .sklearn_layout import Layout
from .source import Conversion, Source

ENTRY = "score.py"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to stand behind a script. `signature`: the one that its ONNX would have had."""

    estimator: Any
    layout: Layout
    answers: tuple[Answer, ...]
    signature: Signature
    source: Source
    work: Path


Fallback: TypeAlias = Callable[[Conversion, Wanted], Conversion]


def behind(base: Conversion, wanted: Wanted, text: str, saved: Path, environment: EnvironmentRequest) -> Conversion:
    """The conversion as this script with the model's file beside it."""
    script = wanted.work / ENTRY
    script.write_text(text, "utf-8")
    return replace(
        base,
        engine="script",
        files={f"code/{ENTRY}": script, f"models/{saved.name}": saved},
        signature=wanted.signature,
        manifest={
            **base.manifest,
            "script": ScriptInfo(entry=ENTRY, code="code", models="models", contract="tensors"),
            "environment": environment,
        },
    )


def environment_of(source: Source, wanted: Callable[[], Iterable[str]]) -> EnvironmentRequest:
    """The user's own request, else the installed versions of the distributions `wanted`."""
    if source.environment is not None:
        return read_request(source.environment)
    pins = sorted({f"{name}=={found}" for name in wanted() if (found := version_of(name))})
    return EnvironmentRequest("requirements", ".".join(map(str, sys.version_info[:2])), tuple(pins))


# how every such script ends: an answer as the signature has it
TAIL = """
def shaped(found, datatype, tail):
    found = found.reshape(len(found), *tail)
    if datatype == "BYTES":
        text = np.empty(found.shape, object)
        text.ravel()[:] = [str(v).encode() for v in found.flat]
        return text
    return np.ascontiguousarray(found, DTYPES[datatype])
"""
# and begins
DTYPES = 'DTYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}\n'
