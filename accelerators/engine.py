"""Engine: what runs a program on one kind of hardware. An engine is one file and one row of ENGINES."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from gantline.errors import BadArtefact, Unsupported, UsageError
from gantline.manifest import ConfigInfo
from gantline.packages import Package
from gantline.signature import Signature
from gantline.tensors import Array

from .stateful import Stateful


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the one who opens a session chooses. `threads` 0: by the model's size; `timeout_s` 0: the package's own."""

    threads: int = 0
    instances: int = 1  # runs at once, for an engine that has to prepare for them: a script has so many hosts
    cores: int = 0  # at most so many threads by size; 0: one for each core that there is
    device: str = "cpu"
    timeout_s: float = 0.0
    memory_limit: int = 0  # bytes for a script host; 0: none
    allow_pickle: bool = True
    grace_s: float = 0.0  # for a script to stop when nobody waits for it, before it is killed; 0: it goes on
    wanted: Callable[[], bool] | None = None  # asked while a script runs: whether anybody waits
    shared: Path | None = None  # where processes that share script hosts find them; None: each has its own


class Engine(Protocol):
    """A loaded program. Required: `signature`, `run`, `close`."""

    @property
    def signature(self) -> Signature:
        """Names, datatypes and shapes, as the program has them."""
        ...

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Compute the named outputs, in that order. Blocks; may be called from any one thread at a time.

        EngineFailed when the program fails; inputs are checked against the signature by the caller.
        """
        ...

    def close(self) -> None:
        """Give memory and processes back; run() is not called again."""
        ...


class Streams(Engine, Protocol):
    """An engine of programs that give any number of answers to a request. Optional."""

    def stream(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> AsyncGenerator[list[Array], None]:
        """The named outputs of each answer, on the running event loop; the program goes on as they are taken."""
        ...


@runtime_checkable
class Wraps(Protocol):
    """An engine that shows another one to clients otherwise than it is."""

    @property
    def engine(self) -> Engine:
        """The one beneath."""
        ...


def innermost(engine: Engine) -> Engine:
    """The program itself, beneath whatever wraps it."""
    while isinstance(engine, Wraps):
        engine = engine.engine
    return engine


# name -> "module:function(package, options) -> Engine"; loaded on request, never at import
ENGINES: dict[str, str] = {
    "onnx": "gantline.accelerators.onnx:load",
    "torch": "gantline.accelerators.torch:load",
    "script": "gantline.accelerators.script.engine:load",
    "null": "gantline.accelerators.null:load",
}


def load_engine(package: Package, options: EngineOptions) -> Engine:
    """Load the package's program on the engine that its manifest names."""
    name = package.manifest.engine
    if package.manifest.transforms_before or package.manifest.transforms_after:
        # the format has a place for them; answering without them would be answering wrong
        raise Unsupported(f"package '{package.name}' declares transforms, which this version of Gantline does not run")
    try:
        module, attribute = ENGINES[name].split(":")
    except KeyError as e:
        raise UsageError(
            f"package '{package.name}': engine {name!r} is not available; known: {', '.join(ENGINES)}"
        ) from e
    config = package.manifest.config
    bare = package if config is None else _unconfigured(package, config)
    engine: Engine = getattr(import_module(module), attribute)(bare, options)
    try:
        if package.manifest.sequences is not None:
            engine = Stateful(engine, package.manifest.sequences, str(package.path))
        if config is not None:
            from .triton.configured import Configured, own_config  # protobuf is needed only here

            said = own_config(package)
            assert said is not None
            engine = Configured(engine, said)
        _agree(package, engine.signature)
    except BadArtefact:
        engine.close()
        raise
    return engine


def _unconfigured(package: Package, config: ConfigInfo) -> Package:
    """The package as its program has it, without what its config.pbtxt changes."""
    return replace(package, manifest=replace(package.manifest, config=None, signature=config.signature))


def _agree(package: Package, actual: Signature) -> None:
    declared = package.manifest.signature
    if declared is None:
        return
    if _names(declared) != _names(actual):
        raise BadArtefact(
            f"{package.path}: the manifest's signature has {_names(declared)}, the model file has {_names(actual)}"
        )


def _names(signature: Signature) -> tuple[list[str], list[str]]:
    return [t.name for t in signature.inputs], [t.name for t in signature.outputs]
