"""A SavedModel behind a generated script: for what has no faithful ONNX.

The package holds the SavedModel, a script that answers by it, and a request for the exact versions of TensorFlow and
numpy that it was tried with. No class of the model's own is needed: a SavedModel holds operations, not Python.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gantline.accelerators.script.request_file import read_request

from gantline.manifest import EnvironmentRequest, ScriptInfo
from gantline.signature import Signature

from .from_script import check_link
from .source import Conversion, Source

ENTRY = "score.py"
FOLDER = "saved_model"  # below the package's models/
TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos")  # one of them is installed


def behind_script(
    base: Conversion, saved: Path, key: str, signature: Signature, source: Source, work: Path
) -> Conversion:
    """The conversion with the SavedModel behind a script that answers signature `key`."""
    script = work / ENTRY
    script.write_text(script_text(key, signature), "utf-8")
    files = {f"code/{ENTRY}": script}
    for path in sorted(p for p in saved.rglob("*") if p.is_file()):
        check_link(path, saved)
        inside = path.relative_to(saved).as_posix()
        if inside != "fingerprint.pb":  # a number drawn at random when it was saved; nothing reads it
            files[f"models/{FOLDER}/{inside}"] = path
    return replace(
        base,
        engine="script",
        files=files,
        model="",
        signature=signature,
        manifest={
            "script": ScriptInfo(entry=ENTRY, code="code", models="models", contract="tensors"),
            "environment": _environment(source),
        },
    )


def script_text(key: str, signature: Signature) -> str:
    """The script: plain Python that needs TensorFlow and numpy."""
    facts = {
        "SIGNATURE": key,
        "INPUTS": {t.name: t.datatype for t in signature.inputs},
        "OUTPUTS": [t.name for t in signature.outputs],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items()]
    return _TEMPLATE.replace("# FACTS\n", "\n".join(lines) + "\n")


def installed(name: str) -> str:
    """The version of a distribution; empty when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _environment(source: Source) -> EnvironmentRequest:
    if source.environment is not None:
        return read_request(source.environment)
    pins = [f"{name}=={found}" for name in (*TENSORFLOWS, "numpy") if (found := installed(name))]
    return EnvironmentRequest("requirements", ".".join(map(str, sys.version_info[:2])), tuple(sorted(pins)))


_TEMPLATE = '''"""Written by gantline package: a TensorFlow SavedModel as tensors in, tensors out."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf

# FACTS
model = None


def init():
    global model
    model = tf.saved_model.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "saved_model"))


def infer(inputs):
    given = {name: tf.constant(inputs[name], tf.string if datatype == "BYTES" else None)
             for name, datatype in INPUTS.items()}
    found = model.signatures[SIGNATURE](**given)
    return {name: array(found[name]) for name in OUTPUTS}


def array(found):
    values = np.asarray(found.numpy())
    return values.astype(object) if values.dtype.kind in "SU" else values
'''
