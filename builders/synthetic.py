"""Synthetic data: rows for a model that came without any."""

from __future__ import annotations

import numpy as np
from gantline.accelerators.session import Session

from gantline.errors import EngineFailed
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, numpy_dtype

from .parity import block_of

SEED = 20240229
FREE_SIZES = (1, 8, 32, 64, 128, 224, 3, 16)  # tried for dimensions that the signature leaves open
FEW = 3  # rows, of whatever size


def that_runs(session: Session, rows: int) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Rows that the model takes, found by trying sizes of its free dimensions; EngineFailed if it takes none.

    Not so many of large ones that they fill the memory. In the end a single row: exporters write a free number of rows
    over programs that take one alone.
    """
    batched = session.signature.batched
    free = any(d < 0 for t in session.signature.inputs for d in (t.shape[1:] if batched else t.shape))
    first: EngineFailed | None = None
    for most in dict.fromkeys((rows, 1)):
        for size in FREE_SIZES if free else (1,):
            one = from_signature(session.signature, 1, size)
            count = min(most, max(FEW, block_of(one)))
            inputs = from_signature(session.signature, count, size)
            try:
                session.run(inputs)
            except EngineFailed as e:
                first = first or e
                continue
            notes = ("synthetic data: standard normal, because the model carries no ranges of its inputs",)
            return inputs, notes
    assert first is not None
    raise first


def from_signature(signature: Signature, rows: int, size: int) -> dict[str, Array]:
    """Standard normal floats, small integers, both truth values, empty text; free dimensions of `size`."""
    random = np.random.default_rng(SEED)
    return {t.name: _tensor(t, rows, size, random) for t in signature.inputs if not t.optional}


def _tensor(spec: TensorSpec, rows: int, size: int, random: np.random.Generator) -> Array:
    shape = tuple((rows if i == 0 else size) if d < 0 else d for i, d in enumerate(spec.shape))
    if spec.datatype == "BYTES":
        return np.full(shape, b"", object)
    dtype = numpy_dtype(spec.datatype)
    if spec.datatype == "BOOL" or spec.datatype.startswith(("INT", "UINT")):
        return random.integers(0, 2, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)
