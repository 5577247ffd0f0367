"""OnnxRepairs: what older exporters left out of an ONNX file, or wrote against its specification, put right.

1. Inputs and outputs without a shape: CNTK and early MXNet left them out, and a request could not be checked.
2. PRelu slopes of one axis, one for each channel: MXNet wrote them so, and broadcasting puts them at the last axis
   (https://github.com/onnx/models, ArcFace).
Each repair is a note in the package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gantline.accelerators.onnx import open_model

from gantline.errors import BadArtefact, EngineFailed
from gantline.fitting import UNNAMED
from gantline.tensors import Array

from .synthetic import from_signature

if TYPE_CHECKING:
    import onnx

_TRIED = ((2, 8), (3, 9), (1, 224))  # rows and free sizes at which shapes are looked at


def repair(model: onnx.ModelProto, sample: Mapping[str, Array] | None, where: Path) -> list[str]:
    """Put right what can be, in place; what was done, a line each.

    `sample`: the user's rows, which tell how many axes an input has. BadArtefact if nothing does.
    """
    return [*_inputs(model, sample, where), *_slopes(model)]


def complete(model: onnx.ModelProto, path: Path) -> list[str]:
    """Give outputs without a shape the one that they are seen to have; `path`: the model as a file that runs."""
    missing = [o for o in model.graph.output if o.type.HasField("tensor_type") and not _has_shape(o)]
    if not missing:
        return []
    seen = _seen(path)
    for output in missing:
        _describe(output, seen.get(output.name, []))
    return [f"shape of output '{o.name}' as seen: the file does not say it" for o in missing if seen.get(o.name)]


def _inputs(model: Any, sample: Mapping[str, Array] | None, where: Path) -> Iterator[str]:
    weights = {t.name for t in model.graph.initializer}
    data = [i for i in model.graph.input if i.name not in weights]
    for tensor in data:
        if not tensor.type.HasField("tensor_type") or _has_shape(tensor):
            continue
        rows = (sample or {}).get(tensor.name)
        if rows is None and sample is not None and len(data) == 1:
            rows = sample.get(UNNAMED)
        if rows is None:
            raise BadArtefact(
                f"{where}: input '{tensor.name}' has no shape in the file; give rows that have one: --sample FILE"
            )
        _describe(tensor, [(0,) * rows.ndim, (1,) * rows.ndim])  # all free
        yield f"axes of input '{tensor.name}' as in the sample: the file does not say its shape"


def _has_shape(tensor: Any) -> bool:
    return bool(tensor.type.tensor_type.HasField("shape"))


def _describe(tensor: Any, shapes: list[tuple[int, ...]]) -> None:
    """The shape that all have in common: a size that differs is free. Left alone where numbers of axes differ."""
    if not shapes or len({len(s) for s in shapes}) > 1:
        return
    found = tensor.type.tensor_type.shape
    found.SetInParent()
    for at, sizes in enumerate(zip(*shapes, strict=True)):
        dim = found.dim.add()
        if len(set(sizes)) == 1 and len(shapes) > 1:
            dim.dim_value = sizes[0]
        else:
            dim.dim_param = f"{tensor.name}_{at}"


def _seen(path: Path) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of all outputs at several numbers of rows and sizes, as far as the model runs on them."""
    session = open_model(path)
    names = [t.name for t in session.signature.outputs]
    out: dict[str, list[tuple[int, ...]]] = {}
    fixed = not any(d < 0 for t in session.signature.inputs for d in t.shape)
    for rows, size in _TRIED:
        try:
            found = session.run(from_signature(session.signature, rows, size), names)
        except EngineFailed:
            continue
        for name, array in zip(names, found, strict=True):
            out.setdefault(name, []).append(array.shape)
    if fixed:  # seen several times, and never otherwise
        return out
    return {name: shapes for name, shapes in out.items() if len(shapes) > 1}


def _slopes(model: Any) -> Iterator[str]:
    import onnx
    from onnx import numpy_helper

    weights = {t.name: t for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type == "PRelu" and len(weights.get(n.input[1], _NONE).dims) == 1]
    if not nodes:
        return
    try:
        told = onnx.shape_inference.infer_shapes(model)
    except Exception:  # onnx's own errors, or a model of more than 2 GiB: then nothing is known of the axes
        return
    known = {v.name: v.type.tensor_type.shape.dim for v in (*told.graph.value_info, *told.graph.input)}
    for node in nodes:
        slope, dims = weights[node.input[1]], known.get(node.input[0], ())
        size = slope.dims[0]
        if size == 1 or len(dims) < 3 or dims[1].dim_value != size or dims[-1].dim_value == size:
            continue
        wide = numpy_helper.to_array(slope).reshape(size, *(1 for _ in dims[2:]))
        slope.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(wide), slope.name))
        for listed in model.graph.input:
            if listed.name == slope.name:
                listed.type.tensor_type.ClearField("shape")
                for d in wide.shape:
                    listed.type.tensor_type.shape.dim.add().dim_value = d
        yield f"PRelu '{node.name}': its slopes, one for each of {size} channels, stand at the channels' axis"


class _Nothing:
    dims = ()


_NONE = _Nothing()
