"""Session: an opened package. Serving, jobs, verify and parity all call this and nothing below it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import cast

import numpy as np

from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, numpy_dtype

from .engine import Engine, EngineOptions, Streams, innermost, load_engine


class Session:
    """A package with its engine loaded: transforms, engine and golden samples behind one `run`."""

    def __init__(self, package: Package, engine: Engine, signature: Signature | None = None) -> None:
        """`signature`: where clients see another than the package says."""
        self.package = package
        self.engine = engine
        self.program = innermost(engine)  # what asks whether it is a script must ask this
        self.signature: Signature = signature or package.manifest.signature or engine.signature
        self.output_names: tuple[str, ...] = tuple(t.name for t in self.signature.outputs)
        self.replayed_ns = 0  # what the last golden sample of tensors took
        self.run_ns = 0  # of one row, learned by warming.warm_up()
        # a script answers from another process, whenever it likes: never to be waited for on an event loop
        self.inline = package.inline
        script = package.manifest.script
        self.decoupled = script is not None and script.decoupled  # any number of answers: by stream(), not run()

    @classmethod
    def open(cls, package: Package, options: EngineOptions | None = None) -> Session:
        """Load the package's program. BadArtefact for a damaged one, UsageError for a missing engine."""
        return cls(package, load_engine(package, options or EngineOptions()))

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """Outputs for inputs that fit the signature, in the order asked for (default: the signature's)."""
        return self.engine.run(inputs, self.output_names if outputs is None else outputs)

    def stream(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> AsyncGenerator[list[Array], None]:
        """Each answer of a decoupled model, as run() gives its one. Closing the generator stops the program."""
        assert self.decoupled, "an ordinary model is run"
        return cast(Streams, self.engine).stream(inputs, outputs)

    def close(self) -> None:
        """Unload the program."""
        self.engine.close()


def zeros(spec: TensorSpec, rows: int) -> Array:
    """An array of zeros (or empty strings) that fits a tensor, with free dimensions at 1 and the first at `rows`."""
    shape = tuple((rows if i == 0 else 1) if d < 0 else d for i, d in enumerate(spec.shape))
    return np.full(shape, b"" if spec.datatype == "BYTES" else 0, numpy_dtype(spec.datatype))
