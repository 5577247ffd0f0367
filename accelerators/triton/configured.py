"""Configured: an engine under a config.pbtxt, with the names, dims, labels and reshapes that the file declares."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from math import prod
from typing import cast

from gantline.errors import BadArtefact
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

from ..engine import Engine, EngineOptions, Streams, load_engine
from ..session import Session
from ..stateful import SequencePolicy, kept_by
from .model_config import PACKAGED, ModelConfig, TensorConfig

Shape = tuple[int, ...]


class Configured:
    """The engine with the signature that config.pbtxt declares; BadArtefact (file and tensor) if the two differ."""

    def __init__(self, engine: Engine, config: ModelConfig, shown: Signature | None = None) -> None:
        """`shown`: the signature of the package that the engine runs, which may say more than its program does."""
        self.engine = engine
        self._before: dict[str, tuple[Shape, Shape]] = {}  # input -> shape as declared, shape as the program has it
        self._after: dict[str, tuple[Shape, Shape]] = {}
        actual = shown or engine.signature
        hidden_in, hidden_out = config.sequences.hidden if config.sequences else (frozenset[str](), frozenset[str]())
        self.sequences = _sequences(engine, config)
        taken = [t for t in actual.inputs if t.name not in hidden_in]
        given = [t for t in actual.outputs if t.name not in hidden_out]
        self.signature = Signature(
            _declared(config, "input", config.inputs, tuple(taken), self._before),
            _declared(config, "output", config.outputs, tuple(given), self._after),
        )

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        if self.sequences is not None:
            inputs = self.sequences.completed(inputs)
        return self._shown(self.engine.run(self._taken(inputs), outputs), outputs)

    async def stream(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> AsyncGenerator[list[Array], None]:
        """The same for each answer of a program that yields."""
        async with aclosing(cast(Streams, self.engine).stream(self._taken(inputs), outputs)) as answers:
            async for found in answers:
                yield self._shown(found, outputs)

    def _taken(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if not self._before:
            return inputs
        return {n: reshaped(a, *self._before[n]) if n in self._before else a for n, a in inputs.items()}

    def _shown(self, found: list[Array], outputs: Sequence[str]) -> list[Array]:
        if not self._after:
            return found
        return [
            reshaped(a, *reversed(self._after[n])) if n in self._after else a
            for n, a in zip(outputs, found, strict=True)
        ]

    def close(self) -> None:
        self.engine.close()


def _sequences(engine: Engine, config: ModelConfig) -> SequencePolicy | None:
    """What the file says of sequences, else what the package does."""
    if config.sequences is not None:
        return config.sequences.policy(config.path, engine.signature.inputs, engine.signature.outputs)
    return kept_by(engine)


def own_config(package: Package) -> ModelConfig | None:
    """The config.pbtxt inside the package, if it has one."""
    inside = package.manifest.config
    return ModelConfig.read(package.path / inside.path, PACKAGED) if inside is not None else None


def is_own(package: Package, config: ModelConfig | None) -> bool:
    """Whether it is the one inside the package."""
    inside = package.manifest.config
    return config is not None and inside is not None and config.path == package.path / inside.path


def open_session(package: Package, options: EngineOptions, config: ModelConfig | None) -> Session:
    """The package's session, under a config.pbtxt beside it if there is one; BadArtefact if that does not fit it."""
    engine = load_engine(package, options)
    if config is None:
        return Session(package, engine)
    try:
        configured = Configured(engine, config, package.manifest.signature)
        return Session(package, configured, configured.signature)
    except BadArtefact:
        engine.close()
        raise


def reshaped(array: Array, found: Shape, wanted: Shape) -> Array:
    """The array, which fits `found`, in shape `wanted`; free dimensions are carried over in their order."""
    free = iter([size for size, d in zip(array.shape, found, strict=True) if d < 0])
    return array.reshape([next(free) if d < 0 else d for d in wanted])


def _declared(
    config: ModelConfig, kind: str, said: tuple[TensorConfig, ...], actual: tuple[TensorSpec, ...],
    reshapes: dict[str, tuple[Shape, Shape]],
) -> tuple[TensorSpec, ...]:  # fmt: skip
    if config.max_batch_size:
        for spec in actual:
            if spec.shape[:1] != (-1,) and (not said or any(t.name == spec.name for t in said)):
                raise BadArtefact(
                    f"{config.path}: max_batch_size is {config.max_batch_size}, but the model's {kind} '{spec.name}' "
                    f"{list(spec.shape)} has no free first dimension; set max_batch_size: 0 and dims in full"
                )
    if not said:
        return actual
    known = {spec.name: spec for spec in actual}
    for tensor in said:
        if tensor.name not in known:
            raise BadArtefact(f"{config.path}: {kind} '{tensor.name}' is not the model's; it has {_names(known)}")
    missing = [s.name for s in actual if kind == "input" and not s.optional and s.name not in {t.name for t in said}]
    if missing:
        raise BadArtefact(f"{config.path}: the model's input '{missing[0]}' is missing; it takes {_names(known)}")
    return tuple(_one(config, kind, t, known[t.name], reshapes) for t in said)


def _one(
    config: ModelConfig, kind: str, said: TensorConfig, actual: TensorSpec, reshapes: dict[str, tuple[Shape, Shape]]
) -> TensorSpec:
    where = f"{config.path}: {kind} '{said.name}'"
    if said.datatype not in ("", actual.datatype):
        raise BadArtefact(f"{where} has datatype {said.datatype}, the model has {actual.datatype}")
    labels = config.labels(said) or actual.labels
    if said.optional and not actual.optional:
        raise BadArtefact(f"{where} is optional there, but the model needs it")
    if not said.dims and said.reshape is None:
        return TensorSpec(actual.name, actual.datatype, actual.shape, actual.optional, labels)
    batch = (-1,) if config.max_batch_size else ()
    outside = batch + said.dims
    inside = batch + (said.dims if said.reshape is None else said.reshape)
    if not _agree(inside, actual.shape):
        hint = " (the batch dimension is not part of dims when max_batch_size > 0)" if batch else ""
        raise BadArtefact(f"{where} has shape {list(inside)}, the model has {list(actual.shape)}{hint}")
    if said.reshape is None:
        narrow = tuple(a if d < 0 else d for d, a in zip(inside, actual.shape, strict=True))
        return TensorSpec(actual.name, actual.datatype, narrow, actual.optional, labels)
    fixed = [prod(d for d in dims if d >= 0) for dims in (outside, inside)]
    if fixed[0] != fixed[1] or sum(d < 0 for d in outside) != sum(d < 0 for d in inside):
        raise BadArtefact(f"{where}: dims {list(said.dims)} cannot be reshaped to {list(said.reshape)}")
    reshapes[said.name] = (outside, inside)
    return TensorSpec(actual.name, actual.datatype, outside, actual.optional, labels)


def _agree(said: Shape, actual: Shape) -> bool:
    return len(said) == len(actual) and all(a in (-1, d) or d < 0 for d, a in zip(said, actual, strict=True))


def _names(known: Mapping[str, TensorSpec]) -> str:
    return ", ".join(f"'{n}'" for n in known)
