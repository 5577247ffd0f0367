"""Source: where a model comes from. One framework is one file and one row of SOURCES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from gantline.errors import BadArtefact
from gantline.signature import Signature
from gantline.tensors import Array

Predict: TypeAlias = Callable[[Mapping[str, Array]], list[Array]]  # inputs -> outputs in signature order
KINDS = (
    "an .onnx, .skops, .pkl, .joblib, .pt, .pt2, .safetensors, .keras or .h5 file, a model file of XGBoost (.json, "
    ".ubj), LightGBM (.txt) or CatBoost (.cbm), a SavedModel, a directory with a scoring script, an entry of a Triton "
    "repository or an Azure ML deployment"
)
Sampler: TypeAlias = Callable[[int], dict[str, Array]]  # rows -> inputs


@dataclass(frozen=True, slots=True)
class Limits:
    """What parity allows. Anything wider than the defaults is recorded in the package as loosened."""

    rtol: float = 1e-4  # relative error of floats, as gantline.accelerators.agreement defines it
    flips: int = 0  # rows in which a label may differ


@dataclass(frozen=True, slots=True)
class Source:
    """What the user pointed at: a path, an `object` in memory, or `pkg.mod:object` in `reference`."""

    name: str
    path: Path | None = None
    object: Any = None
    reference: str = ""
    trust_pickle: bool = False
    trust: tuple[str, ...] = ()  # types that a .skops file may hold beside those that are known to be safe
    module: str = ""  # torch state, Keras model with a class of its own: pkg.mod:Class
    init: dict[str, Any] = field(default_factory=dict)  # its arguments
    signature: str = ""  # which one of a SavedModel's
    sample: dict[str, Array] | None = None  # inputs as given; names may be the model's or one unnamed table
    body: Path | None = None  # the sample of a scoring script: what a client sends to /score
    script: Path | None = None
    code: Path | None = None
    model_dir: Path | None = None
    environment: Path | None = None  # requirements.txt, pyproject.toml or conda.yml; `current`: this interpreter
    rows: int = 64  # of synthetic data
    limits: Limits = Limits()


@dataclass(slots=True)
class Conversion:
    """What a converter made, under the work directory it was given, and how to check it.

    `files` maps paths inside the package to files made; `model` is the one that the engine loads. `predict` is the
    source model itself, the reference of parity; None where there is nothing to compare with (an ONNX file, a script).
    """

    engine: str
    framework: str
    type: str
    files: dict[str, Path]
    model: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    signature: Signature | None = None
    predict: Predict | None = None
    synthetic: Sampler | None = None  # data within the ranges that the model itself carries
    probes: Sampler | None = None  # inputs next to the thresholds of trees
    labels: tuple[str, ...] = ()  # outputs that hold labels: compared exactly
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # output -> names of its columns
    sample: dict[str, Array] | None = None  # the user's rows as this model's inputs, where names had to be sorted out
    example: dict[str, Array] | None = None  # rows that came with the model, for users who give none
    body: Path | None = None  # the same for a scoring script
    lineage: dict[str, Any] = field(default_factory=dict)  # what the source itself says of where it came from
    reason: str = ""  # why not ONNX
    notes: tuple[str, ...] = ()
    max_batch_size: int | None = None  # rows that the source itself lets a server stack; None: it says nothing
    elsewhere: bool = False  # made by another environment's versions: it is run in the environment that it asks for
    manifest: dict[str, Any] = field(default_factory=dict)  # further Manifest fields: script, environment, batching


class Converter(Protocol):
    """A module of builders/ named in SOURCES."""

    def recognises(self, source: Source) -> bool:
        """Whether this source is of this kind, by looking at name, type or first bytes; loads nothing."""
        ...

    def convert(self, source: Source, work: Path) -> Conversion:
        """Convert, writing only under `work`. BadArtefact names the file, what was expected and what was found."""
        ...


# asked in this order; a module is imported only when its turn comes
SOURCES: dict[str, str] = {
    "onnx": "gantline.builders.from_onnx",
    "mlflow": "gantline.builders.from_mlflow",
    "xgboost": "gantline.builders.from_xgboost",
    "lightgbm": "gantline.builders.from_lightgbm",
    "catboost": "gantline.builders.from_catboost",
    "sklearn": "gantline.builders.from_sklearn",
    "pickle": "gantline.builders.from_pickle",
    "keras": "gantline.builders.from_keras",
    "savedmodel": "gantline.builders.from_saved_model",
    "torch": "gantline.builders.from_torch",
    "triton": "gantline.builders.from_triton",
    "azure": "gantline.builders.from_azure",
    "script": "gantline.builders.from_script",
}


def converter_for(source: Source) -> Converter:
    """The first converter that recognises the source. BadArtefact lists what can be packaged if none does."""
    for module in SOURCES.values():
        converter = cast(Converter, import_module(module))
        if converter.recognises(source):
            return converter
    raise BadArtefact(_unknown(source))


def takes_body(source: Source) -> bool:
    """Whether a sample of it is a body that a client sends, and not rows: its converter says so by a takes_body()."""
    asks = getattr(converter_for(source), "takes_body", None)
    return asks is not None and bool(asks(source))


def _unknown(source: Source) -> str:
    path = source.path
    if path is None:
        what = source.reference or f"{type(source.object).__module__}.{type(source.object).__qualname__}"
        kinds = "a fitted scikit-learn estimator, a booster, a torch module, or a Keras or TensorFlow model"
        return f"{what}: expected {kinds}"
    if not path.exists():
        return f"{path}: no such file or directory"
    if path.is_dir():
        return f"{path}: a directory without a score.py; name the script with --script, or give the model's file"
    from .canonical import found_in

    return f"{path}: expected {KINDS}, found {found_in(path)}"
