"""A booster behind a generated script, with the framework's own file: for what has no faithful ONNX."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantline.accelerators.script.request_file import read_request

from gantline.manifest import EnvironmentRequest, ScriptInfo
from gantline.signature import Signature
from gantline.tensors import Array

from .boosters import DISTRIBUTIONS, version_of
from .face import Face
from .sklearn_answers import Answer, specs_of
from .sklearn_layout import Layout
from .source import Conversion, Source

ENTRY = "score.py"


def behind_own_script(
    base: Conversion,
    estimator: Any,
    layout: Layout,
    answers: tuple[Answer, ...],
    seen: list[Array],
    labels: tuple[str, ...],
    source: Source,
    work: Path,
) -> Conversion:
    """The conversion with a booster_face's model behind a script; the arguments are those of sklearn_script's."""
    face: Face = estimator.face
    saved, script = work / face.saved_as, work / ENTRY
    face.save(saved)
    signature = Signature(layout.inputs, specs_of(answers, seen, labels))
    script.write_text(script_text(face, layout, signature), "utf-8")
    return replace(
        base,
        engine="script",
        files={f"code/{ENTRY}": script, f"models/{face.saved_as}": saved},
        signature=signature,
        manifest={
            "script": ScriptInfo(entry=ENTRY, code="code", models="models", contract="tensors"),
            "environment": _environment(face, layout, source),
        },
    )


def script_text(face: Face, layout: Layout, signature: Signature) -> str:
    """The script: plain Python that needs the framework and numpy (and pandas where columns are of several types)."""
    facts = {
        "FILE": face.saved_as,
        "INPUTS": [t.name for t in layout.inputs],
        "COLUMNS": list(layout.columns or [t.name for t in layout.inputs]),
        "MATRIX": layout.matrix,
        "OUTPUTS": {t.name: [t.datatype, list(t.shape[1:])] for t in signature.outputs},
        **face.facts,
    }
    lines = [f"{name} = {value!r}" for name, value in facts.items()]
    return _TEMPLATE.replace("# FACTS\n", "\n".join(lines) + "\n").replace(
        "# FRAMEWORK\n", face.script.strip("\n") + "\n"
    )


def _environment(face: Face, layout: Layout, source: Source) -> EnvironmentRequest:
    if source.environment is not None:
        return read_request(source.environment)
    wanted = [*DISTRIBUTIONS[face.framework], "numpy", *face.needs, *([] if layout.matrix else ["pandas"])]
    pins = sorted({f"{name}=={found}" for name in wanted if (found := version_of(name))})
    return EnvironmentRequest("requirements", ".".join(map(str, sys.version_info[:2])), tuple(pins))


_TEMPLATE = '''"""Written by gantline package: a gradient booster as tensors in, tensors out."""

import os
import warnings

import numpy as np

# FACTS
DTYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}
model = None


# FRAMEWORK


def init():
    global model
    model = load(os.path.join(os.environ["AZUREML_MODEL_DIR"], FILE))


def infer(inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = answers(model, table(inputs))
    return {name: shaped(np.asarray(found[name]), *OUTPUTS[name]) for name in OUTPUTS}


def table(inputs):
    """What the model takes: floats widened to float64, text as str, columns of several types as a data frame."""
    if MATRIX:
        return inputs[INPUTS[0]].astype(np.float64)
    import pandas

    return pandas.DataFrame({name: column(inputs[name].reshape(-1)) for name in INPUTS})


def column(values):
    if values.dtype.kind == "O":
        return [v.decode("utf-8", "surrogateescape") for v in values]
    return values.astype(np.float64)


def pairs(found):
    """The probabilities of both classes from that of the second."""
    return np.stack([1.0 - found, found], axis=1) if found.ndim == 1 else found


def shaped(found, datatype, tail):
    found = found.reshape(len(found), *tail)
    if datatype == "BYTES":
        text = np.empty(found.shape, object)
        text.ravel()[:] = [str(v).encode() for v in found.flat]
        return text
    return np.ascontiguousarray(found, DTYPES[datatype])
'''
