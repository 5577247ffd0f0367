"""SavedModel -> ONNX by tf2onnx. Needs TensorFlow.

Of tf2onnx's ways only the one that reads a SavedModel from the disk knows the contents of lookup tables, and so text
inputs; its from_function fails there, and its from_keras with Keras 3 everywhere (tf2onnx 1.17).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantline.errors import Unsupported
from gantline.signature import Signature

from .silence import silence

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the newest that tf2onnx 1.17 writes


def write_onnx(saved: Path, key: str, signature: Signature, target: Path) -> None:
    """Write one signature of a SavedModel as ONNX, its tensors named, ordered and shaped as the signature has them.

    Unsupported for an operation that ONNX does not have; tf2onnx raises whatever it meets.
    """
    with silence():
        model = _converted(saved, key)
    known = {"", "ai.onnx", "ai.onnx.ml"}
    foreign = sorted({n.op_type for n in model.graph.node if n.domain not in known or not _in_onnx(n)})
    if foreign:
        raise Unsupported(f"ONNX has no {', '.join(foreign[:6])}")
    _as_signed(model, signature)
    target.write_bytes(model.SerializeToString())


def _converted(saved: Path, key: str) -> Any:
    import tensorflow as tf
    from tf2onnx import convert, tf_loader

    graph, inputs, outputs, tables, renamed = tf_loader.from_saved_model(
        str(saved),
        None,
        None,
        tag=["serve"],
        signatures=[key],
        return_initialized_tables=True,
        return_tensors_to_rename=True,
    )
    with tf.device("/cpu:0"):
        model, _ = convert._convert_common(
            graph,
            name="main",
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=renamed,
            initialized_tables=tables,
            opset=OPSET,
        )
    return model


def _in_onnx(node: onnx.NodeProto) -> bool:
    import onnx

    return bool(onnx.defs.has(node.op_type, node.domain if node.domain != "ai.onnx" else ""))


def _as_signed(model: onnx.ModelProto, signature: Signature) -> None:
    """Tensors in the signature's order and with its shapes: tf2onnx sorts them, and forgets dimensions."""
    for values, specs in ((model.graph.input, signature.inputs), (model.graph.output, signature.outputs)):
        found = {v.name: v for v in values}
        if set(found) != {t.name for t in specs}:
            return  # the trial tells
        ordered = []
        for spec in specs:
            shape = found[spec.name].type.tensor_type.shape
            del shape.dim[:]
            for size in spec.shape:
                shape.dim.add(**({"dim_value": size} if size >= 0 else {}))
            ordered.append(type(found[spec.name]).FromString(found[spec.name].SerializeToString()))
        del values[:]
        values.extend(ordered)
