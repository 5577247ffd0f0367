"""The null engine: computes nothing, so that overhead can be measured and the server tested without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, numpy_dtype

from .engine import Engine, EngineOptions

_DEFAULT = Signature((TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, 1)),))


class Null:
    """Answers zeros of the declared shape, one row for each row that came in."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        first = next(iter(inputs.values()), None)
        rows = first.shape[0] if first is not None and first.ndim else 1
        return [self._zeros(name, rows) for name in outputs]

    def close(self) -> None:
        pass

    def _zeros(self, name: str, rows: int) -> Array:
        spec = self.signature.output(name)
        assert spec is not None
        shape = tuple(rows if (d < 0 and i == 0) else max(d, 1) for i, d in enumerate(spec.shape))
        fill = b"" if spec.datatype == "BYTES" else 0
        return np.full(shape, fill, numpy_dtype(spec.datatype))


def load(package: Package, options: EngineOptions) -> Engine:
    """A null engine with the package's signature, or one float32 matrix in and one column out."""
    return Null(package.manifest.signature or _DEFAULT)
