"""Session: an opened package. Serving, jobs, verify and parity all call this and nothing below it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from gantline.package import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, numpy_dtype

from .engine import Engine, EngineOptions, load_engine

WARM_ROWS = (1, 8)


class Session:
    """A package with its engine loaded: transforms, engine and golden samples behind one `run`."""

    def __init__(self, package: Package, engine: Engine) -> None:
        self.package = package
        self.engine = engine
        self.signature: Signature = package.manifest.signature or engine.signature
        self.output_names: tuple[str, ...] = tuple(t.name for t in self.signature.outputs)
        self.run_ns = 0  # of one row, learned by warm_up()

    @classmethod
    def open(cls, package: Package, options: EngineOptions | None = None) -> Session:
        """Load the package's program. BadArtefact for a damaged one, UsageError for a missing engine."""
        return cls(package, load_engine(package, options or EngineOptions()))

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """Outputs for inputs that fit the signature, in the order asked for (default: the signature's)."""
        return self.engine.run(inputs, self.output_names if outputs is None else outputs)

    def warm_up(self) -> None:
        """Run the golden samples, or zeros, until the program's first-call work is done; learns `run_ns`."""
        if not self.signature.inputs:
            return
        for rows in WARM_ROWS if self.signature.batched else (1,):
            feed = {t.name: zeros(t, rows) for t in self.signature.inputs if not t.optional}
            for _ in range(3):
                started = time.perf_counter_ns()
                self.run(feed)
                took = time.perf_counter_ns() - started
            if rows == 1:
                self.run_ns = took

    def close(self) -> None:
        """Unload the program."""
        self.engine.close()


def zeros(spec: TensorSpec, rows: int) -> Array:
    """An array of zeros (or empty strings) that fits a tensor, with free dimensions at 1 and the first at `rows`."""
    shape = tuple((rows if i == 0 else 1) if d < 0 else d for i, d in enumerate(spec.shape))
    return np.full(shape, b"" if spec.datatype == "BYTES" else 0, numpy_dtype(spec.datatype))
