"""ModelConfig: a Triton config.pbtxt as far as Gantline acts on it, and the same document as JSON for any model.

Acted on: name, platform, backend, max_batch_size, input and output (datatypes, dims, reshape, optional, labels),
version_policy, default_model_filename, dynamic_batching and sequence_batching (see scheduling). Everything else that is
set is listed in `ignored`, never dropped silently; what would change the answers (ensembles, batch inputs, other
backends) is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact, Unsupported
from gantline.packages import Package
from gantline.pb import message
from gantline.signature import Signature, TensorSpec

from .named_file import named_file
from .scheduling import BatchingConfig, SequenceConfig, ignored, read_batching
from .versions import LATEST, put_words, words_of

CONFIG = "config.pbtxt"
ONNX_FILE = "model.onnx"
PLATFORMS = {"onnx": "onnxruntime_onnx", "torch": "pytorch_libtorch"}
BACKENDS = {"onnx": "onnxruntime", "torch": "pytorch"}
# what a config.pbtxt calls them by their older name
_BACKEND_OF = {
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
    "tensorrt_plan": "tensorrt",
}
SERVED = ("onnxruntime",)  # backends whose files are served as they are
PACKAGED = ("onnxruntime", "pytorch", "python", "tensorflow")  # those that packaging takes
THREADS = ("intra_op_thread_count", "INTRA_OP_THREAD_COUNT")  # in parameters: onnxruntime's and pytorch's spelling
_REFUSED = ("ensemble_scheduling", "batch_input", "batch_output")
_USED = {
    "name", "platform", "backend", "max_batch_size", "input", "output", "version_policy", "default_model_filename",
    "dynamic_batching", "sequence_batching", "model_warmup",
}  # fmt: skip
MAX_THREADS = 4096
LARGEST = 4 << 20  # bytes of the file
_USED_OF_TENSORS = {"name", "data_type", "dims", "reshape", "optional", "label_filename"}


@dataclass(frozen=True, slots=True)
class TensorConfig:
    """One input or output as config.pbtxt has it. `dims` without the batch dimension where there is one.

    `reshape` is the shape that the program itself sees, None for `dims`; `datatype` is empty when it is not said.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    optional: bool = False
    label_file: str = ""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One config.pbtxt. `message` is the whole of it, an inference.ModelConfig."""

    path: Path
    name: str
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    model_file: str
    message: Any
    ignored: tuple[str, ...] = ()
    batching: BatchingConfig = dataclasses.field(default_factory=BatchingConfig)
    sequences: SequenceConfig | None = None

    @classmethod
    def read(cls, path: Path, backends: Collection[str] = SERVED) -> ModelConfig:
        """BadArtefact with file and line for what is not a config.pbtxt, Unsupported for what cannot be served.

        `backends`: those that the reader can take.
        """
        from google.protobuf import text_format

        found = message("inference.ModelConfig")()
        try:
            if path.stat().st_size > LARGEST:
                raise BadArtefact(f"{path}: {path.stat().st_size} bytes; a {CONFIG} of more than {LARGEST} is not read")
            text_format.Parse(path.read_bytes().decode("utf-8-sig"), found)
        except text_format.ParseError as e:
            line = f":{e.GetLine()}" if e.GetLine() is not None else ""
            what = str(e).partition(" : ")[2] or str(e)
            raise BadArtefact(f"{path}{line}: {' '.join(what.split())}") from e
        except UnicodeDecodeError as e:
            raise BadArtefact(f"{path}: byte {e.start} is not UTF-8; expected a config.pbtxt") from e
        except OSError as e:
            raise BadArtefact(f"{path}: cannot be read: {e.strerror}") from e
        return cls._of(found, path, backends)

    @classmethod
    def from_json(cls, text: str, path: Path) -> ModelConfig:
        """The same from JSON, as a load request carries it. `path`: the config.pbtxt in whose place it is."""
        from google.protobuf import json_format

        found = message("inference.ModelConfig")()
        try:
            json_format.Parse(text, found)
        except json_format.ParseError as e:
            raise BadArtefact(f"the configuration given for {path}: {' '.join(str(e).split())}") from e
        return cls._of(found, path, SERVED)

    @classmethod
    def _of(cls, found: Any, path: Path, backends: Collection[str]) -> ModelConfig:
        _refuse(found, path, backends)
        return cls(
            path,
            found.name,
            found.max_batch_size,
            tuple(_tensor(t) for t in found.input),
            tuple(_tensor(t) for t in found.output),
            found.default_model_filename or ONNX_FILE,
            found,
            (*_ignored(found), *ignored(found)),
            read_batching(found, path),
            SequenceConfig(found.sequence_batching, path.parent) if found.HasField("sequence_batching") else None,
        )

    @property
    def versions(self) -> str:
        """The version_policy in the words of the setting `versions`; empty where it says nothing."""
        return words_of(self.message.version_policy)

    @property
    def backend(self) -> str:
        """onnxruntime, pytorch, python and so on, by whichever of the two keys says it; empty where none does."""
        return backend_of(self.message)

    @property
    def threads(self) -> int:
        """How many threads one run may use; 0 where nothing is said."""
        return _threads(self.message, self.path)

    @property
    def instances(self) -> int:
        """How many batches may run at once, all groups together."""
        return sum(group.count or 1 for group in self.message.instance_group) or 1

    def labels(self, tensor: TensorConfig) -> tuple[str, ...]:
        """The class names of an output, from its label file beside config.pbtxt; BadArtefact if it cannot be read."""
        if not tensor.label_file:
            return ()
        path = named_file(self.path.parent, tensor.label_file, f"{self.path}: output '{tensor.name}': label_filename")
        try:
            return tuple(path.read_text("utf-8").splitlines())
        except (OSError, ValueError) as e:
            raise BadArtefact(f"{self.path}: output '{tensor.name}': label file {path}: {e}") from e


def config_json(
    package: Package,
    signature: Signature,
    max_rows: int,
    config: ModelConfig | None,
    versions: str = "",
    instances: int = 1,
) -> dict[str, Any]:
    """The model's configuration as GET .../config answers it; `max_rows` 0: requests are not stacked.

    `versions`: the policy in force, where it may be another than the config's.
    All keys in snake_case, defaults printed, 64-bit integers as numbers (Triton's core turns protobuf's strings back).
    """
    out = message("inference.ModelConfig")()
    if config is not None:
        out.CopyFrom(config.message)
    engine = package.manifest.engine
    out.name = package.name
    out.platform = out.platform or PLATFORMS.get(engine, "")
    out.backend = out.backend or BACKENDS.get(engine, engine)
    out.default_model_filename = package.manifest.model
    out.max_batch_size = max_rows
    if package.manifest.script is not None and package.manifest.script.decoupled:
        out.model_transaction_policy.decoupled = True
    if max_rows and out.WhichOneof("scheduling_choice") is None:
        out.dynamic_batching.SetInParent()
    put_words(versions or words_of(out.version_policy) or LATEST, out.version_policy)
    if not out.instance_group:
        out.instance_group.add(name=package.name, kind="KIND_CPU", count=instances)
    _describe(out.input, signature.inputs, bool(max_rows))
    _describe(out.output, signature.outputs, bool(max_rows))
    return plain(out)


def datatype_name(data_type: str) -> str:
    """The V2 datatype of TYPE_FP32 and so on; empty for TYPE_INVALID, which says nothing."""
    name = data_type.removeprefix("TYPE_")
    return {"STRING": "BYTES", "INVALID": ""}.get(name, name)


def _describe(fields: Any, specs: tuple[TensorSpec, ...], batched: bool) -> None:
    said = {f.name: f.SerializeToString() for f in fields}
    del fields[:]
    for spec in specs:
        field = fields.add(name=spec.name)
        field.MergeFromString(said.get(spec.name, b""))
        field.data_type = "TYPE_" + {"BYTES": "STRING"}.get(spec.datatype, spec.datatype)
        field.dims[:] = spec.shape[1:] if batched else spec.shape
        if spec.optional:
            field.optional = True


def _tensor(field: Any) -> TensorConfig:
    names = field.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    return TensorConfig(
        field.name,
        datatype_name(names[field.data_type].name),
        tuple(field.dims),
        tuple(field.reshape.shape) if field.HasField("reshape") else None,
        getattr(field, "optional", False),
        getattr(field, "label_filename", ""),
    )


def backend_of(found: Any) -> str:
    """The backend that a ModelConfig names, by whichever of the two keys."""
    return str(found.backend or _BACKEND_OF.get(found.platform, found.platform))


def _threads(found: Any, path: Path) -> int:
    for key in THREADS:
        if key in found.parameters and backend_of(found) != "python":
            text = found.parameters[key].string_value
            if not (text.isascii() and text.isdigit()) or int(text) > MAX_THREADS:
                raise BadArtefact(f"{path}: parameter '{key}' is {text!r:.40}, expected 0 to {MAX_THREADS}")
            return int(text)
    return 0


def _refuse(found: Any, path: Path, backends: Collection[str]) -> None:
    for key in _REFUSED:
        there = found.HasField(key) if key.endswith("ing") else len(getattr(found, key))
        if there:
            advice = "the model cannot be served without it"
            if key == "ensemble_scheduling":
                models = ", ".join(dict.fromkeys(step.model_name for step in found.ensemble_scheduling.step))
                advice = f"take its models ({models}) one by one, or call them from a scoring script"
            raise Unsupported(f"{path}: {key} is not supported; {advice}")
    backend = backend_of(found)
    if backend and backend not in backends:
        what = f"backend '{found.backend}'" if found.backend else f"platform '{found.platform}'"
        raise Unsupported(f"{path}: {what} is not supported; a model repository may hold ONNX models (onnxruntime)")
    _threads(found, path)
    if found.max_batch_size < 0:
        raise BadArtefact(f"{path}: max_batch_size is {found.max_batch_size}, expected 0 or more")
    for group in found.instance_group:
        if group.count < 0:
            raise BadArtefact(f"{path}: instance_group has count {group.count}, expected 1 or more")
    for kind, tensors in (("input", found.input), ("output", found.output)):
        names = [tensor.name for tensor in tensors]
        for name in names:
            if not name:
                raise BadArtefact(f"{path}: {kind} number {names.index(name) + 1} has no name")
            if names.count(name) > 1:
                raise BadArtefact(f"{path}: {kind} '{name}' is there {names.count(name)} times; leave one")
        for tensor in tensors:
            if wrong := [d for d in (*tensor.dims, *tensor.reshape.shape) if d < -1 or d == 0]:
                raise BadArtefact(f"{path}: {kind} '{tensor.name}' has a size of {wrong[0]}, expected 1 or more, or -1")


def _ignored(found: Any) -> Iterator[str]:
    for field, value in found.ListFields():
        key = field.name
        if key in ("input", "output"):
            for tensor in value:
                more = (f.name for f, _ in tensor.ListFields() if f.name not in _USED_OF_TENSORS)
                yield from (f"{key} '{tensor.name}' {name}" for name in more)
        elif key == "instance_group":
            yield from _ignored_instances(value)
        elif key == "parameters":
            # the python backend hands all of them to the model
            used = value if backend_of(found) == "python" else THREADS
            yield from (f"parameters '{name}'" for name in sorted(value) if name not in used)
        elif key == "optimization":
            yield from (f"optimization.{f.name}" for f, _ in value.ListFields())
        elif key == "model_transaction_policy" and backend_of(found) == "python":
            continue
        elif key not in _USED:
            yield key


def _ignored_instances(groups: Any) -> Iterator[str]:
    for group in groups:
        for field, value in group.ListFields():
            if field.name == "kind":
                name = field.enum_type.values_by_number[value].name
                if name in ("KIND_AUTO", "KIND_CPU"):
                    continue
                yield f"instance_group.kind {name}"
            elif field.name not in ("name", "count"):
                yield f"instance_group.{field.name}"


def plain(found: Any) -> dict[str, Any]:
    """A message as JSON values, with fields at their default, but without messages and oneofs that are not set."""
    out: dict[str, Any] = {}
    for field in found.DESCRIPTOR.fields:
        if field.has_presence and not found.HasField(field.name):
            continue
        value = getattr(found, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            whole = field.message_type.fields_by_name["value"].message_type is not None
            out[field.name] = {str(k): plain(value[k]) if whole else value[k] for k in sorted(value)}
        elif field.is_repeated:
            out[field.name] = [_value(field, v) for v in value]
        else:
            out[field.name] = _value(field, value)
    return out


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return plain(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value
