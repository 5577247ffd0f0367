"""A booster behind a generated script, with the framework's own file: for what has no faithful ONNX."""

from __future__ import annotations

from gantline.signature import Signature

from . import categories
from .boosters import DISTRIBUTIONS
from .face import Face
from .generated_script import DTYPES, TAIL, Wanted, behind, environment_of
from .sklearn_layout import Layout
from .source import Conversion


def behind_own_script(base: Conversion, wanted: Wanted) -> Conversion:
    """The conversion with a booster_face's model behind a script."""
    face: Face = wanted.estimator.face
    saved = wanted.work / face.saved_as
    face.save(saved)
    frames = [] if wanted.layout.matrix else ["pandas"]
    needed = [*DISTRIBUTIONS[face.framework], "numpy", *face.needs, *frames]
    text = script_text(face, wanted.layout, wanted.signature)
    return behind(base, wanted, text, saved, environment_of(wanted.source, lambda: needed))


def script_text(face: Face, layout: Layout, signature: Signature) -> str:
    """The script: plain Python that needs the framework and numpy (and pandas where columns are of several types)."""
    facts = {
        "FILE": face.saved_as,
        "INPUTS": [t.name for t in layout.inputs],
        "COLUMNS": list(layout.columns or [t.name for t in layout.inputs]),
        "MATRIX": layout.matrix,
        "CATEGORIES": {face.names[at]: list(known) for at, known in face.categories.items()},
        "OUTPUTS": {t.name: [t.datatype, list(t.shape[1:])] for t in signature.outputs},
        **face.facts,
    }
    lines = [f"{name} = {value!r}" for name, value in facts.items()]
    head = "\n".join(lines) + "\n" + DTYPES
    own = face.script.strip("\n") + "\n"
    if face.categories:
        own += "\n" + categories.SCRIPT
    return _TEMPLATE.replace("# FACTS\n# DTYPES\n", head).replace("# FRAMEWORK\n", own) + TAIL


_TEMPLATE = '''"""Written by gantline package: a gradient booster as tensors in, tensors out."""

import os
import warnings

import numpy as np

# FACTS
# DTYPES
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

    columns = {name: column(inputs[name].reshape(-1)) for name in INPUTS}
    return pandas.DataFrame({n: framed(n, c) if n in CATEGORIES else c for n, c in columns.items()})


def column(values):
    if values.dtype.kind == "O":
        return [v.decode("utf-8", "surrogateescape") for v in values]
    return values.astype(np.float64)


def pairs(found):
    """The probabilities of both classes from that of the second."""
    return np.stack([1.0 - found, found], axis=1) if found.ndim == 1 else found

'''
