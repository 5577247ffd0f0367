"""Manifest: what a package says of itself, in versioned JSON whose digest is the package's address."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, cast

from .blobs import canonical_json, sha256_bytes
from .errors import BadArtefact
from .signature import Json, Signature

FORMAT = "gantline.package/1"
ENGINES = ("onnx", "torch", "script", "null", "fpga")
FORMS = ("", "numbers", "records", "columns", "outputs")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class File:
    """One file as an OCI content descriptor, so that a later push keeps its digest. `size` in bytes."""

    path: str
    digest: str
    size: int
    mediaType: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What the model was before: framework, its class, and the versions that made and converted it."""

    framework: str
    type: str = ""
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests may be stacked. `max_batch_size` counts rows; 0: never stack.

    `pad`: inputs whose free trailing dimensions may be filled up, with what; `pad_mask`: the input that tells data (1)
    from padding (0); `unpad`: outputs that are as long as a padded input, and which.
    """

    max_batch_size: int = 0
    pad: dict[str, float] = field(default_factory=dict)
    pad_mask: str = ""
    unpad: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """A program that keeps sequences. `states`: input -> the output that it gets from the request before.

    `initial`: what the first request's is filled with, else 0. `controls`: input -> START, END, READY or CORRID, as in
    Triton. `idle_s`: without a request for so long, a sequence is over; `max_sequences`: open at once, 0: 4096.
    """

    states: dict[str, str] = field(default_factory=dict)
    initial: dict[str, float] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    idle_s: float = 1.0
    max_sequences: int = 0

    @classmethod
    def from_json(cls, tree: Mapping[str, Any], where: str) -> SequenceInfo:
        """BadArtefact (naming `where`) for an unknown key or a value of another kind."""
        return _parse(cls, tree, where)


@dataclass(frozen=True, slots=True)
class EnvironmentRequest:
    """The environment that a script asks for. `current`: the interpreter that serves.

    `found`: for `current`, a module that the script imports -> the distributions of it, as `name==version`, that were
    there when it was packaged.
    """

    kind: str = "current"  # current | requirements
    python: str = ""  # "3.11"; empty: the one that serves
    requirements: tuple[str, ...] = ()
    found: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScriptInfo:
    """A scoring script. Paths are relative to the package: `entry` inside `code`; `models` is AZUREML_MODEL_DIR."""

    entry: str
    code: str = "code"
    models: str = ""
    contract: str = "azure"  # azure: init()/run(); tensors: init()/infer(inputs) -> outputs
    app_root: str = ""
    timeout_s: float = 3600.0
    decoupled: bool = False  # infer() yields: any number of answers to one request, and requests are never stacked
    pickles: tuple[str, ...] = ()  # files that the script may unpickle; `serve --no-pickle` refuses the package
    variables: dict[str, str] = field(default_factory=dict)  # environment variables that it finds, unless set otherwise


@dataclass(frozen=True, slots=True)
class ConfigInfo:
    """A config.pbtxt, as Triton has it, under which the package's program runs. What it names lies beside it.

    `signature`: the program's own, where its file does not say it; the manifest's is what clients see.
    """

    path: str
    signature: Signature | None = None


@dataclass(frozen=True, slots=True)
class Golden:
    """A sample request with its expected reply.

    `kind` `tensors`: both files are V2 documents, JSON header of `*_header` bytes and then binary tensors.
    `kind` `sequence`: the same, of one sequence's requests, in their order.
    `kind` `score`: the files are the body sent to /score and the body answered.
    """

    request: str
    reply: str
    kind: str = "tensors"
    request_header: int = 0
    reply_header: int = 0
    rtol: float = 1e-4
    atol: float = 1e-6
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Parity:
    """How the packaged model compares with its source on `rows` rows; `sample` is `given` or `synthetic`."""

    sample: str
    rows: int
    max_abs_error: float
    max_rel_error: float
    label_flips: int
    near_threshold_probes: int = 0
    limits: dict[str, float] = field(default_factory=dict)
    loosened: tuple[str, ...] = ()  # limits that the user made wider than the default, e.g. "rtol 1e-4 -> 1e-2"
    outputs: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableInfo:
    """How tables are read and answered, beyond what the signature says.

    `columns`: the names of the columns of a single matrix, in order; `predictions`: the outputs that are the answer
    where a protocol knows one answer only (MLflow's); none: all of them. `form`: how that answer is told: `numbers`
    (a row of one number is that number), `records` (the same, and a row is an object by output), `columns` (a row is
    an object by column number), `outputs` (an object of outputs); none: rows as they are, objects if there are several.
    """

    columns: tuple[str, ...] = ()
    predictions: tuple[str, ...] = ()
    form: str = ""


@dataclass(frozen=True, slots=True)
class Transform:
    """A declared pre- or post-processing step: a name of the table and its parameters."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A package's content. Lineage is not here: it is kept beside, so that it does not change the digest."""

    name: str
    engine: str
    model: str = ""  # path of the model file; empty for a script alone
    engine_reason: str = ""  # why not ONNX, when the engine is another
    signature: Signature | None = None  # None: the model file says it, or a script has none
    source: SourceInfo | None = None
    batching: Batching = field(default_factory=Batching)
    sequences: SequenceInfo | None = None  # its states and controls are not in the signature
    table: TableInfo = TableInfo()
    config: ConfigInfo | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # of gantline serve, for this model, where nobody says more
    environment: EnvironmentRequest = EnvironmentRequest()
    script: ScriptInfo | None = None
    transforms_before: tuple[Transform, ...] = ()
    transforms_after: tuple[Transform, ...] = ()
    golden: tuple[Golden, ...] = ()
    parity: Parity | None = None
    tried: dict[str, str] = field(default_factory=dict)  # name -> version of what parity and golden were made with
    notes: tuple[str, ...] = ()  # what a reader should know, one line each
    files: tuple[File, ...] = ()
    format: str = FORMAT

    def to_json(self) -> Json:
        """JSON without what is at its default, so that the same content has one spelling."""
        out: Json = _plain(self)
        out["format"] = self.format
        return out

    def to_bytes(self) -> bytes:
        """The canonical bytes that are written, and hashed."""
        return canonical_json(self.to_json()) + b"\n"

    @property
    def digest(self) -> str:
        """The package's digest: `sha256:<hex>` of the manifest, which holds the digest of every file."""
        return sha256_bytes(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """BadArtefact (naming `where`) for anything but a manifest of this format."""
        try:
            tree = json.loads(data, parse_constant=_number, parse_float=_number)
        except (ValueError, RecursionError) as e:
            raise BadArtefact(f"{where}: not JSON ({e}); expected a Gantline package manifest") from e
        if not isinstance(tree, dict) or not str(tree.get("format", "")).startswith("gantline.package/"):
            raise BadArtefact(f'{where}: not a Gantline package manifest (no "format": "{FORMAT}")')
        if tree["format"] != FORMAT:
            raise BadArtefact(f"{where}: format {tree['format']!r}; this Gantline reads {FORMAT!r}: use a newer one")
        manifest = _parse(cls, tree, where)
        if manifest.table.form not in FORMS:
            raise BadArtefact(f"{where}: table.form {manifest.table.form!r:.40}; known: {', '.join(FORMS[1:])}")
        if manifest.engine not in ENGINES:
            raise BadArtefact(f"{where}: engine {manifest.engine!r:.40}; known: {', '.join(ENGINES)}")
        if not data.isascii() or b"\\u" in data:
            try:
                manifest.to_bytes()
            except ValueError as e:  # half of a surrogate pair
                raise BadArtefact(f"{where}: holds text that is not Unicode ({e})") from e
        return manifest


_NESTED: dict[str, Any] = {
    "source": SourceInfo,
    "batching": Batching,
    "sequences": SequenceInfo,
    "config": ConfigInfo,
    "environment": EnvironmentRequest,
    "script": ScriptInfo,
    "table": TableInfo,
    "parity": Parity,
    "transforms_before": (Transform,),
    "transforms_after": (Transform,),
    "golden": (Golden,),
    "files": (File,),
}


@cache  # a thousand manifests are read at once
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...]:
    """Each field's name and default, MISSING for one that must be given."""
    made = ((f, f.default_factory) for f in dataclasses.fields(kind))
    return tuple((f.name, f.default if make is dataclasses.MISSING else make()) for f, make in made)


@cache
def _fields(kind: Any) -> dict[str, dataclasses.Field[Any]]:
    return {f.name: f for f in dataclasses.fields(kind)}


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float) or value is None:
        return value
    if isinstance(value, Signature):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out = {}
        for name, default in _defaults(type(value)):
            item = getattr(value, name)
            if item != default:
                out[name] = _plain(item)
        return out
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


def _parse(kind: type[T], tree: Mapping[str, Any], where: str) -> T:
    assert dataclasses.is_dataclass(kind)
    fields = _fields(kind)
    if not isinstance(tree, dict):
        raise BadArtefact(f"{where}: expected an object, got {type(tree).__name__}")
    values: dict[str, Any] = {}
    for key, item in tree.items():
        f = fields.get(key)
        if f is None:
            raise BadArtefact(f"{where}: unknown key {key!r:.40} in {kind.__name__.lower()}")
        nested = _NESTED.get(key) if kind is Manifest else None
        if key == "signature":
            values[key] = _signature(item, where)
        elif isinstance(nested, tuple):
            values[key] = tuple(_parse(nested[0], one, where) for one in _list(item, key, where))
        elif nested is not None:
            values[key] = _parse(nested, item, where)
        else:
            values[key] = _scalar(f, item, where)
    try:
        return kind(**values)
    except TypeError as e:
        missing = next((n for n, f in fields.items() if n not in values and _required(f)), str(e))
        raise BadArtefact(f"{where}: {kind.__name__.lower()} lacks key {missing!r}") from e


_SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "Any": (object,),
}


def _scalar(f: dataclasses.Field[Any], item: Any, where: str) -> Any:
    try:
        return _read(str(f.type), item)
    except (TypeError, OverflowError) as e:
        raise BadArtefact(f"{where}: key {f.name!r} is {e}, expected {_called(str(f.type))}") from e


def _read(text: str, item: Any) -> Any:
    """The value for an annotation: a scalar, a tuple of one kind, or a dict by text. TypeError says what it is."""
    outer, _, inner = text.partition("[")
    if outer == "tuple" and isinstance(item, list):
        return tuple(_read(inner.removesuffix(", ...]"), one) for one in item)
    if outer == "dict" and isinstance(item, dict):
        return {key: _read(inner.removeprefix("str, ").removesuffix("]"), one) for key, one in item.items()}
    if not isinstance(item, _SCALARS.get(text, ())) or (isinstance(item, bool) and text not in ("bool", "Any")):
        raise TypeError(type(item).__name__)
    return float(cast(float, item)) if text == "float" else item


def _called(text: str) -> str:
    return "a list of " + text[len("tuple[") :].removesuffix(", ...]") if text.startswith("tuple[") else text


def _number(text: str) -> float:
    """What JSON calls a number: NaN and what no float holds are not."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.20} is not a number")
    return number


def _signature(item: Any, where: str) -> Signature:
    try:
        return Signature.from_json(item)
    except BadArtefact as e:
        raise BadArtefact(f"{where}: {e}") from e


def _list(item: Any, key: str, where: str) -> list[Any]:
    if not isinstance(item, list):
        raise BadArtefact(f"{where}: key {key!r} is {type(item).__name__}, expected a list")
    return item


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
