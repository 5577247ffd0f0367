"""V2's classification extension: the top k of each row as "value:index[:label]" strings."""

from __future__ import annotations

from math import prod

import numpy as np

from ..errors import BadRequest
from ..signature import TensorSpec
from ..tensors import Array


def classify(array: Array, spec: TensorSpec | None, k: int, batched: bool) -> Array:
    """BYTES of shape [rows, k] (or [k] when the model is not batched), best first; k is cut to what there is."""
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind not in "iufb" or array.ndim == 0:
        name = spec.name if spec else "?"
        raise BadRequest(f"output '{name}' cannot be classified: it holds no numbers to rank")
    width = prod(array.shape[1:]) if batched and array.ndim > 1 else array.size
    rows = array.reshape(array.shape[0] if batched and array.ndim > 1 else 1, width)
    labels = spec.labels if spec else ()
    k = min(k, width)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :k]
    out = np.empty((rows.shape[0], k), object)
    for i, row in enumerate(order.tolist()):
        for j, index in enumerate(row):
            text = f"{float(rows[i, index]):f}:{index}"
            out[i, j] = (f"{text}:{labels[index]}" if index < len(labels) else text).encode()
    return out if batched and array.ndim > 1 else out.reshape(k)
