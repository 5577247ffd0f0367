"""The pytorch backend's TorchScript (or exported program) as Triton calls it: by position, under config.pbtxt's names.

A name that ends in `__<index>` says which argument or result it is; other names are forward()'s own, or, where they
are not, config.pbtxt's order counts (https://github.com/triton-inference-server/pytorch_backend#model-configuration).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gantline.accelerators.onnx import open_model
from gantline.accelerators.triton.model_config import TensorConfig

from gantline.errors import BadArtefact
from gantline.fitting import fit
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

from . import from_torch
from .canonical import read_model
from .source import Conversion, Predict, Source
from .synthetic import from_signature
from .triton_entry import TritonEntry

_INDEX = re.compile(r".*__([0-9]+)")
ROWS = 4  # of the example that the program is traced and compared with, where the user gives none
FREE = 8  # the size of a free dimension in it


def program_of(entry: TritonEntry, source: Source, work: Path) -> Conversion:
    """The torch program with config.pbtxt's names. BadArtefact for a config without them, or that does not fit."""
    config = entry.config
    if config is None or not config.inputs or not config.outputs:
        raise BadArtefact(f"{entry.folder}: the pytorch backend needs config.pbtxt with its inputs and outputs")
    batch = (-1,) if config.max_batch_size else ()
    inputs = [_spec(t, batch) for t in config.inputs]
    given = _given(source, config.inputs, batch)
    example = given or from_signature(Signature(tuple(inputs), ()), ROWS, FREE)
    from .from_torch_load import load

    names = load(replace(source, path=entry.file)).names
    order = ordered([t.name for t in config.inputs], names, f"{config.path}: input")
    sample = {inner: example[outer] for outer, inner in order.items()}
    base = from_torch.convert(replace(source, path=entry.file, sample=sample), work)
    file = base.files[base.model]
    own = base.signature or open_model(file).signature
    results = ordered([t.name for t in config.outputs], [t.name for t in own.outputs], f"{config.path}: output")
    back = {inner: outer for outer, inner in (order | results).items()}
    return _renamed(base, own, back, work, source.sample is not None)


def ordered(outer: Sequence[str], inner: Sequence[str], where: str) -> dict[str, str]:
    """config.pbtxt's names -> the program's: by index, else by name, else by place."""
    indexed = [_INDEX.fullmatch(name) for name in outer]
    if all(indexed):
        places = [int(m[1]) for m in indexed if m]
    elif all(name in inner for name in outer):
        places = [list(inner).index(name) for name in outer]
    else:
        places = list(range(len(outer)))
    for name, place in zip(outer, places, strict=True):
        if place >= len(inner) or places.count(place) > 1:
            raise BadArtefact(f"{where} '{name}' would be number {place} of the program's {len(inner)}: {list(inner)}")
    return {name: inner[place] for name, place in zip(outer, places, strict=True)}


def _spec(said: TensorConfig, batch: tuple[int, ...]) -> TensorSpec:
    dims = said.dims if said.reshape is None else said.reshape
    return TensorSpec(said.name, said.datatype, batch + dims, said.optional)


def _given(source: Source, inputs: Sequence[TensorConfig], batch: tuple[int, ...]) -> dict[str, Array]:
    """The user's rows in the program's shapes."""
    if source.sample is None:
        return {}
    seen = Signature(tuple(TensorSpec(t.name, t.datatype, batch + t.dims, t.optional) for t in inputs), ())
    fitted = fit(source.sample, seen, "--sample")
    seen.check("sample", fitted)
    shapes = {t.name: t.reshape for t in inputs if t.reshape is not None}
    return {n: np.reshape(a, (*a.shape[: len(batch)], *shapes[n])) if n in shapes else a for n, a in fitted.items()}


def _renamed(base: Conversion, own: Signature, names: Mapping[str, str], work: Path, sampled: bool) -> Conversion:
    """The conversion under other names: an ONNX file's are changed in it, a torch program is called by position."""
    unsaid = [t.name for t in own.inputs if t.name not in names]
    if unsaid:
        raise BadArtefact(f"the program's input '{unsaid[0]}' is not in config.pbtxt")
    renamed = Signature(
        tuple(replace(t, name=names[t.name]) for t in own.inputs),
        tuple(replace(t, name=names.get(t.name, f"unnamed {i}")) for i, t in enumerate(own.outputs)),
    )
    files = dict(base.files)
    if base.engine == "onnx":
        files[base.model] = work / "renamed.onnx"
        _rename(base.files[base.model], names, files[base.model])
        renamed = open_model(files[base.model]).signature
    draw, predict = base.synthetic, base.predict
    inner = {outer: name for name, outer in names.items()}
    assert predict is not None and draw is not None, "a torch module is compared with itself, on rows like its example"
    return replace(
        base,
        files=files,
        signature=None if base.engine == "onnx" else renamed,
        predict=_called(predict, inner),
        synthetic=None if sampled else lambda rows: {names[n]: a for n, a in draw(rows).items()},
        sample=None,
    )


def _called(predict: Predict, inner: Mapping[str, str]) -> Predict:
    return lambda inputs: predict({inner[n]: a for n, a in inputs.items()})


def _rename(path: Path, names: Mapping[str, str], target: Path) -> None:
    """Write the file with other inputs and outputs; a node between the two names changes no value."""
    import onnx
    from onnx import helper

    model = read_model(path)
    graph: Any = model.graph
    before, after = [], []
    for tensor in graph.input:
        if names.get(tensor.name, tensor.name) != tensor.name:
            before.append(helper.make_node("Identity", [names[tensor.name]], [tensor.name]))
            tensor.name = names[tensor.name]
    for tensor in graph.output:
        if names.get(tensor.name, tensor.name) != tensor.name:
            after.append(helper.make_node("Identity", [tensor.name], [names[tensor.name]]))
            tensor.name = names[tensor.name]
    nodes = [*before, *graph.node, *after]
    kept = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        kept.append(copy)
    del graph.node[:]
    graph.node.extend(kept)
    target.write_bytes(model.SerializeToString())
