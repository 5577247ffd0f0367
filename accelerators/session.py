"""Session: an opened package. Serving, jobs, verify and parity all call this and nothing below it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import cast

import numpy as np

from gantline.errors import EngineFailed
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, numpy_dtype

from .engine import Engine, EngineOptions, Streams, load_engine


class Session:
    """A package with its engine loaded: transforms, engine and golden samples behind one `run`."""

    def __init__(self, package: Package, engine: Engine) -> None:
        self.package = package
        self.engine = engine
        self.signature: Signature = package.manifest.signature or engine.signature
        self.output_names: tuple[str, ...] = tuple(t.name for t in self.signature.outputs)
        self.run_ns = 0  # of one row, learned by warming.warm_up()
        # a script answers from another process, whenever it likes: never to be waited for on an event loop
        self.inline = package.manifest.engine != "script"
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


def rows_are_independent(session: Session) -> bool:
    """Whether stacking two requests gives each the answer that it gets alone; tried on two rows of random numbers.

    A free first dimension does not prove it: a model may normalise over the batch. The second row is larger, so that
    a program that looks for large values finds some in one of them. False if the program fails.
    """
    if not session.signature.batched:
        return False
    random = np.random.default_rng(0)
    given = [t for t in session.signature.inputs if not t.optional]
    feeds = [{t.name: _random(t, random, size) for t in given} for size in (1.0, 8.0)]
    try:
        alone = [session.run(feed) for feed in feeds]
        together = session.run({name: np.concatenate([f[name] for f in feeds]) for name in feeds[0]})
    except EngineFailed:
        return False
    for a, b, both in zip(*alone, together, strict=True):
        if not (both.ndim and both.shape[0] == 2 and a.shape[:1] == b.shape[:1] == (1,)):
            return False
        want = np.concatenate([a, b])
        if both.dtype.kind == "f":
            if not np.allclose(want, both, rtol=1e-4, atol=1e-6, equal_nan=True):
                return False
        elif not np.array_equal(want, both):
            return False
    return True


def _random(spec: TensorSpec, random: np.random.Generator, size: float) -> Array:
    empty = zeros(spec, 1)
    if empty.dtype.kind in "fV":  # V: bfloat16 as numpy sees it
        return (size * random.standard_normal(empty.shape)).astype(empty.dtype)
    return empty  # integers may be indices, strings categories: zeros fit both
