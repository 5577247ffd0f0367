"""Ranges that an ONNX graph carries: thresholds of its trees, offsets of its scalers, categories of its encoders.

Only operators of ai.onnx.ml tell (https://onnx.ai/onnx/operators/), where they stand at an input: behind nothing but
Cast and Identity. Everything else is left to `synthetic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

from .forest import HUGE
from .ranges import SEED, Range, Ranges, cast, column, joined

if TYPE_CHECKING:
    import onnx

_THROUGH = ("Cast", "Identity")


def draw(model: onnx.ModelProto, signature: Signature, rows: int) -> dict[str, Array] | None:
    """Rows for a model whose every input is a matrix of known width; None when none of its columns' ranges is known."""
    if not signature.batched or any(len(t.shape) != 2 or t.shape[1] < 1 for t in signature.inputs):
        return None
    found = {t.name: _ranges(model.graph, t) for t in signature.inputs}
    if all(r is None for ranges in found.values() for r in ranges):
        return None
    random = np.random.default_rng(SEED)
    out = {}
    for spec in signature.inputs:
        columns = [cast(column(r, rows, random, at), spec.datatype) for at, r in enumerate(found[spec.name])]
        out[spec.name] = np.stack(columns, axis=1)
    return out


def _ranges(graph: onnx.GraphProto, spec: TensorSpec) -> Ranges:
    out: Ranges = [None] * spec.shape[1]
    for node in _readers(graph, spec.name):
        values = {a.name: a for a in node.attribute}
        if node.op_type.startswith("TreeEnsemble") and "nodes_featureids" in values:
            _trees(values, out)
        elif node.op_type == "Scaler" and "offset" in values:
            _scaler(values, out)
        elif node.op_type in ("OneHotEncoder", "LabelEncoder", "CategoryMapper"):
            known = next((list(values[n].strings) for n in ("cats_strings", "keys_strings") if n in values), [])
            if known and spec.datatype == "BYTES":
                one = Range(values=tuple(s.decode("utf-8", "replace") for s in known))
                out[:] = [joined(r, one) for r in out]
    if spec.datatype == "BYTES":
        return [r or Range(values=("",)) for r in out]
    return out


def _readers(graph: onnx.GraphProto, name: str) -> Iterator[Any]:
    same = {name}
    for node in graph.node:
        if any(n in same for n in node.input):
            if node.op_type in _THROUGH:
                same.update(node.output)
            yield node


def _trees(values: dict[str, Any], out: Ranges) -> None:
    thresholds = np.asarray(values["nodes_values"].floats) if "nodes_values" in values else _tensor(values)
    for feature, threshold, mode in zip(
        values["nodes_featureids"].ints, thresholds, values["nodes_modes"].strings, strict=True
    ):
        if mode != b"LEAF" and feature < len(out) and abs(threshold) < HUGE:
            out[feature] = joined(out[feature], Range(float(threshold), float(threshold)))


def _tensor(values: dict[str, Any]) -> Array:
    from onnx import numpy_helper

    return numpy_helper.to_array(values["nodes_values_as_tensor"].t)


def _scaler(values: dict[str, Any], out: Ranges) -> None:
    offset, scale = np.asarray(values["offset"].floats), np.asarray(values["scale"].floats)
    with np.errstate(divide="ignore"):
        wide = np.broadcast_to(np.where(scale != 0, 2.0 / np.abs(scale), 1.0), (len(out),))
    for at, middle in enumerate(np.broadcast_to(offset, (len(out),))):
        out[at] = joined(out[at], Range(float(middle - wide[at]), float(middle + wide[at])))
