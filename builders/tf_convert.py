"""A SavedModel's signature -> ONNX where that is faithful, else behind a script. Runs where TensorFlow is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gantline.signature import Signature
from gantline.tensors import Array, numpy_dtype

from .onnx_trial import Draw, Subject, Way, evidence_of, first_that_agrees
from .source import Conversion, Source
from .tf_onnx import write_onnx
from .tf_saved import check_saved, open_saved
from .tf_script import TENSORFLOWS, behind_script, installed

MODEL = "model.onnx"
SEED = 20240229
WORDS = (b"", b"a", b"the", b"Oslo", b"hello world")  # of text inputs whose vocabulary nobody knows
Rule: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], Array]  # draws values of one input


def convert(source: Source, work: Path) -> Conversion:
    """The SavedModel at `source.path`, checked before it is loaded. Errors are those of tf_saved and onnx_trial."""
    path = source.path
    assert path is not None
    check_saved(path)
    graph = open_saved(path, source.signature)
    subject = Subject(str(path), graph.signature, graph.predict, drawer(graph.signature, {}))
    base = Conversion("", "tensorflow", f"SavedModel {graph.key}", {}, versions=versions())
    return settled(subject, base, path, graph.key, source, work)


def settled(subject: Subject, base: Conversion, saved: Path, key: str, source: Source, work: Path) -> Conversion:
    """The conversion of a model that is also there as the SavedModel `saved`: its ONNX, or a script around it."""
    ways: tuple[Way, ...] = (("tf2onnx", lambda target: write_onnx(saved, key, subject.signature, target)),)
    evidence = evidence_of(subject, source)
    made, reason = first_that_agrees(ways, subject, evidence, source.limits, work)
    given = evidence.size == 0
    full = replace(
        base,
        predict=subject.predict,
        synthetic=None if given else (lambda rows: subject.draw(rows, evidence.size)),
        sample=evidence.rows if given else None,
    )
    if made is None:
        return behind_script(replace(full, reason=reason), saved, key, subject.signature, source, work)
    return replace(full, engine="onnx", files={MODEL: made}, model=MODEL)


def drawer(signature: Signature, rules: Mapping[str, Rule]) -> Draw:
    """Synthetic data: by an input's rule where there is one, else normal floats, small integers, and a few words."""

    def draw(rows: int, size: int) -> dict[str, Array]:
        random = np.random.default_rng(SEED)
        out: dict[str, Array] = {}
        for spec in signature.inputs:
            shape = tuple((rows if i == 0 else size) if d < 0 else d for i, d in enumerate(spec.shape))
            rule = rules.get(spec.name, _RULES.get(spec.datatype, _usual(spec.datatype)))
            values = rule(random, shape)
            out[spec.name] = values if spec.datatype == "BYTES" else values.astype(numpy_dtype(spec.datatype))
        return out

    return draw


def one_of(values: tuple[bytes, ...]) -> Rule:
    """Draws texts from a list."""
    choices = np.empty(len(values), object)
    choices[:] = values
    return lambda random, shape: choices[random.integers(0, len(values), shape)]


_RULES: dict[str, Rule] = {"BYTES": one_of(WORDS)}


def _usual(datatype: str) -> Rule:
    if datatype.startswith(("INT", "UINT", "BOOL")):
        return lambda random, shape: random.integers(0, 2, shape)
    return lambda random, shape: random.standard_normal(shape)


def versions() -> dict[str, str]:
    """What converts, by name."""
    names = (*TENSORFLOWS, "keras", "tf2onnx", "onnx", "numpy")
    return {name: found for name in names if (found := installed(name))}
