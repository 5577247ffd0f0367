"""A Keras model whose backend is torch, as a torch module with named inputs and outputs: from_torch does the rest."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact
from gantline.fitting import fit
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

from . import from_torch
from .keras_model import KerasModel, inputs_of, names_of_outputs
from .onnx_trial import FREE_SIZES, one_line
from .source import Conversion, Source
from .tf_convert import drawer, versions

_ONLY = inspect.Parameter.POSITIONAL_ONLY


def convert_model(model: Any, source: Source, work: Path, where: str) -> Conversion:
    """To ONNX by torch's exporter where that is faithful, else a torch program, saying why."""
    specs, structure = inputs_of(model, source.sample, where)
    bare = KerasModel(model, Signature(specs, ()), structure)
    if source.sample is not None:
        example = fit(source.sample, bare.signature, "--sample")
    else:
        example = _made_up(bare, source.rows, where)
    module = _module(bare, example)
    inner = replace(source, path=None, object=module, sample=example)
    made = from_torch.convert(inner, work)
    found = versions() | made.versions
    sample = None if source.sample is None else made.sample
    notes = (*made.notes, *_fixed(specs, example))
    return replace(made, framework="keras", type=type(model).__name__, versions=found, sample=sample, notes=notes)


def _fixed(specs: tuple[TensorSpec, ...], example: dict[str, Array]) -> tuple[str, ...]:
    """Only the number of rows is left open: Keras's loops over a length are unrolled."""
    found = [(t.name, i, example[t.name].shape[i]) for t in specs for i, d in enumerate(t.shape) if i and d < 0]
    return tuple(f"input '{n}': dimension {i} is open in Keras, and has {size} here" for n, i, size in found)


def _made_up(bare: KerasModel, rows: int, where: str) -> dict[str, Array]:
    draw = drawer(bare.signature, bare.rules())
    problem: Exception | None = None
    for size in FREE_SIZES:
        example = draw(rows, size)
        try:
            _run(bare, example)
            return example
        except Exception as e:  # whatever Keras and the user's layers raise
            problem = problem or e
    assert problem is not None
    raise BadArtefact(f"{where}: fails on synthetic data ({one_line(problem)}); package it with --sample") from problem


def _run(bare: KerasModel, example: dict[str, Array]) -> Any:
    import torch

    with torch.no_grad():
        return bare.answer([torch.from_numpy(example[t.name].copy()) for t in bare.signature.inputs])


def _module(bare: KerasModel, example: dict[str, Array]) -> Any:
    """forward() with a parameter for each input, and a dictionary of outputs: where torch's exporters find names."""
    import keras
    import torch

    found = _run(bare, example)
    taken = {t.name for t in bare.signature.inputs}
    names = names_of_outputs(bare.model, found, len(keras.tree.flatten(found)), taken)

    def forward(self: Any, *tensors: Any) -> dict[str, Any]:
        return dict(zip(names, bare.call(tensors), strict=True))

    parameters = [inspect.Parameter(n, _ONLY) for n in ("self", *(t.name for t in bare.signature.inputs))]
    _sign(forward, inspect.Signature(parameters))
    kind = type("KerasModel", (torch.nn.Module,), {"forward": forward})
    module = kind()
    module.model = bare.model
    return module.eval()


def _sign(function: Callable[..., Any], signature: inspect.Signature) -> None:
    function.__signature__ = signature  # type: ignore[attr-defined]
