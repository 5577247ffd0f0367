"""A scikit-learn estimator behind a generated script: for what has no faithful ONNX.

The package holds the estimator as a .skops file, a script that loads it with exactly the types found in it, and a
request for the exact versions it was made with. Its inputs and outputs are those that the ONNX model would have had.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact, Unsupported
from gantline.signature import Signature

from .generated_script import DTYPES, TAIL, Wanted, behind, environment_of
from .sklearn_answers import Answer
from .sklearn_layout import Layout
from .skops_file import save_skops, trusted_in
from .source import Conversion, Source

ESTIMATOR = "estimator.skops"
PINNED = ("scikit-learn", "skops", "numpy", "scipy")


def behind_script(base: Conversion, wanted: Wanted) -> Conversion:
    """The conversion with the estimator behind a script; BadArtefact if it cannot be saved."""
    saved = wanted.work / ESTIMATOR
    trusted = _saved(wanted.estimator, wanted.source, saved)
    text = script_text(wanted.layout, wanted.answers, wanted.signature, trusted)
    frames = ["pandas"] if wanted.layout.columns else []
    asked = environment_of(wanted.source, lambda: [*PINNED, *frames, *_distributions(trusted)])
    return behind(base, wanted, text, saved, asked)


def script_text(layout: Layout, answers: tuple[Answer, ...], signature: Signature, trusted: Iterable[str]) -> str:
    """The script: plain Python that needs scikit-learn, skops and numpy (and pandas where columns are named)."""
    facts = {
        "INPUTS": [t.name for t in layout.inputs],
        "COLUMNS": list(layout.columns),
        "DOCUMENTS": layout.documents,
        "MATRIX": layout.matrix,
        "SINGLE": layout.single,
        "GAPS": [list(gap) for gap in layout.gaps],
        "OUTPUTS": [
            [a.name, a.method, t.datatype, list(t.shape[1:])] for a, t in zip(answers, signature.outputs, strict=True)
        ],
        "TRUSTED": sorted(trusted),
    }
    lines = [f"{name} = {_literal(value)}" for name, value in facts.items()]
    head = "\n".join(lines) + "\n" + DTYPES
    return _TEMPLATE.replace("# FACTS\n# DTYPES\n", head) + TAIL


def _literal(value: Any) -> str:
    return repr(value) if isinstance(value, bool) else json.dumps(value)


def _saved(estimator: Any, source: Source, target: Path) -> list[str]:
    """Write the estimator (a .skops source as it is) and say which types need trust."""
    if source.path is not None and source.path.suffix.lower() == ".skops":
        target.write_bytes(source.path.read_bytes())
        return trusted_in(target, source.trust)
    try:
        return save_skops(estimator, target)
    except Unsupported as e:
        raise BadArtefact(
            f"{type(estimator).__name__} has no faithful ONNX, and {e.message}; "
            "package a scoring script that makes it: --script"
        ) from e


def _distributions(types: Iterable[str]) -> list[str]:
    """The distributions that the file's other types come from; BadArtefact for a class that is in none."""
    known = _installed()
    out = []
    for name in types:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names and top != "__main__":
            continue
        if top not in known:
            raise BadArtefact(
                f"the estimator has no faithful ONNX and holds a {name}, which no installed distribution provides; "
                "package a scoring script with that code instead: --script and --code"
            )
        out += known[top][:1]
    return out


@cache
def _installed() -> Mapping[str, list[str]]:
    """Packages and the distributions that have them; to look takes a tenth of a second or more."""
    return packages_distributions()


_TEMPLATE = '''"""Written by gantline package: a scikit-learn estimator as tensors in, tensors out."""

import os
import sys
import warnings

import numpy as np


class WithoutTorch:
    """skops imports all of scikit-learn, and that torch, where it is installed: seconds and 200 MB, for nothing."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("not now", name=name)


sys.meta_path.insert(0, WithoutTorch)
import skops.io  # noqa: E402

sys.meta_path.remove(WithoutTorch)

# FACTS
# DTYPES
estimator = None


def init():
    global estimator
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "estimator.skops")
    estimator = skops.io.load(path, trusted=TRUSTED)


def infer(inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = table(inputs)
        return {name: shaped(told(name, getattr(estimator, method)(given), method), datatype, tail)
                for name, method, datatype, tail in OUTPUTS}


def table(inputs):
    """What the estimator takes: floats in the width it was fitted in, bytes as str, named columns as a data frame."""
    if not MATRIX:
        columns = {name: column(inputs[name]).reshape(-1) for name in INPUTS}
        for at, kind in GAPS:
            open_gaps(columns[INPUTS[at]], kind)
        return frame(columns)
    values = column(inputs[INPUTS[0]])
    for at, kind in GAPS:
        open_gaps(values[:, at], kind)
    if DOCUMENTS:
        return values.reshape(-1)
    if COLUMNS:
        return frame({name: values[:, i] for i, name in enumerate(COLUMNS)})
    return values


def frame(columns):
    import pandas

    return pandas.DataFrame({name: pandas.Series(values, dtype=values.dtype) for name, values in columns.items()})


def open_gaps(texts, kind):
    texts[texts == ""] = np.nan if kind == "nan" else None  # the estimator knows missing texts, BYTES do not


def column(values):
    if values.dtype.kind == "O":
        text = np.empty(values.shape, object)
        text.ravel()[:] = [v.decode("utf-8", "surrogateescape") for v in values.flat]
        return text
    return values.astype(np.float32 if SINGLE else np.float64) if values.dtype.kind == "f" else values


def told(name, found, method):
    found = np.asarray(found.toarray() if hasattr(found, "toarray") else found)
    if found.ndim == 1 and method == "decision_function" and name == "probabilities":
        found = np.stack([-found, found], axis=1)
    return found

'''
