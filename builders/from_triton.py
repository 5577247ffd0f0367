"""A model of a Triton repository: its program by the source that knows the file, under its own config.pbtxt.

The config goes into the package as it is, with the files that it names, and is acted on by the code that serves
repositories in place (accelerators/triton): names, dims, reshapes and labels make the package's signature, and
batching, priorities, sequences, instances and warm-up hold wherever it is served. What is not acted on is in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gantline.accelerators.onnx import open_model
from gantline.accelerators.session import Session
from gantline.accelerators.triton.configured import Configured
from gantline.accelerators.triton.model_config import CONFIG, ModelConfig, TensorConfig
from gantline.accelerators.triton.model_settings import check_settings
from gantline.accelerators.triton.warmup import rehearse

from gantline.errors import UsageError
from gantline.manifest import ConfigInfo
from gantline.packages import Package
from gantline.signature import Signature
from gantline.tensors import Array

from . import from_onnx
from .from_script import USUAL
from .source import Conversion, Predict, Sampler, Source, converter_for
from .triton_entry import INSIDE, TritonEntry, is_entry, models_in, read_entry, repository_error


def recognises(source: Source) -> bool:
    """A model's directory of a Triton repository, one of its versions, or a whole repository, to be told apart."""
    path = source.path
    if path is None or source.script is not None or source.code is not None:
        return False
    return is_entry(path) or (bool(models_in(path)) and not any((path / name).is_file() for name in USUAL))


def convert(source: Source, work: Path) -> Conversion:
    """The program under its config.pbtxt. UsageError for a whole repository; Unsupported for what has no form here."""
    assert source.path is not None
    if not is_entry(source.path):
        raise repository_error(source.path)
    entry = read_entry(source.path)
    if entry.config is not None:
        check_settings(entry.config)
    if entry.backend == "python":
        from .triton_python import behind_script

        made = behind_script(entry, source, work)
        assert entry.config is not None, "it says what model.py takes and gives"
        made.signature = Configured(_Program(made.manifest["config"].signature), entry.config).signature
        return made
    if entry.backend == "pytorch":
        from .triton_torch import program_of

        return _configured(entry, program_of(entry, source, work), source)
    inner = replace(source, path=entry.file)
    if entry.backend == "tensorflow":
        return _configured(entry, converter_for(inner).convert(inner, work), source)
    return _configured(entry, from_onnx.convert(inner, work), source)


def _configured(entry: TritonEntry, base: Conversion, source: Source) -> Conversion:
    """The conversion of the file with what config.pbtxt says of it."""
    made = replace(base, type=f"{entry.backend} {base.type}".strip(), notes=(*base.notes, *entry.notes))
    made.framework = "triton"
    config = entry.config
    if config is None:
        return made
    program = _Program(base.signature) if base.signature is not None else open_model(base.files[base.model])
    shown = Configured(program, config)
    if base.engine == "onnx":
        rehearse(Session(Package.bare(base.files[base.model], source.name), shown, shown.signature), config)
    made.files = {**base.files, **entry.files()}
    if base.predict is not None:
        made.predict = reference(base.predict, program.signature, shown, config)
    made.synthetic = _as_clients_send(base.synthetic, shown.signature, config)
    made.signature = None
    made.max_batch_size = config.max_batch_size
    made.manifest = {**base.manifest, "config": ConfigInfo(f"{INSIDE}/{CONFIG}", base.signature)}
    return made


@dataclass(frozen=True, slots=True)
class _Program:
    """A program that is not opened: what it takes and gives."""

    signature: Signature

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        raise UsageError("only its signature is known")

    def close(self) -> None: ...


def reference(run: Predict, program: Signature, shown: Configured, config: ModelConfig) -> Predict:
    """The source model as clients of its config.pbtxt see it; written apart from Configured, which it judges."""
    takes = {t.name: t for t in config.inputs}
    gives = {t.name: t for t in config.outputs}
    order = [t.name for t in program.outputs]
    batch = 1 if config.max_batch_size else 0

    def predict(inputs: Mapping[str, Array]) -> list[Array]:
        feed = {n: _cast(a, takes[n], batch, inward=True) if n in takes else a for n, a in inputs.items()}
        if shown.sequences is not None:
            feed = dict(shown.sequences.completed(feed))
        found = dict(zip(order, run(feed), strict=True))
        return [
            _cast(found[t.name], gives[t.name], batch, inward=False) if t.name in gives else found[t.name]
            for t in shown.signature.outputs
        ]

    return predict


def _cast(array: Array, said: TensorConfig, batch: int, inward: bool) -> Array:
    """An array in the shape that the program has (`inward`), or that clients see: free sizes keep their order."""
    if said.reshape is None:
        return array
    have, want = (said.dims, said.reshape) if inward else (said.reshape, said.dims)
    sizes = array.shape[batch:]
    free = [size for size, d in zip(sizes, have, strict=True) if d == -1]
    shape = [*array.shape[:batch]]
    for d in want:
        shape.append(free.pop(0) if d == -1 else d)
    return array.reshape(shape)


def _as_clients_send(draw: Sampler | None, shown: Signature, config: ModelConfig) -> Sampler | None:
    """Rows that the file's converter draws for the program, in the names and shapes that clients use."""
    if draw is None:
        return None
    takes = {t.name: t for t in config.inputs}
    batch = 1 if config.max_batch_size else 0

    def sample(rows: int) -> dict[str, Array]:
        drawn = {n: a for n, a in draw(rows).items() if shown.input(n) is not None}
        return {n: _cast(a, takes[n], batch, inward=False) if n in takes else a for n, a in drawn.items()}

    return sample
