"""An MLflow model directory: the file of its first flavor that has a converter here is that converter's source.

What has none (a python_function of one's own, say) goes behind a script that asks MLflow itself, in the environment
that was recorded. The signature's names, the input example and where the model came from are kept either way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from gantline.errors import BadArtefact
from gantline.manifest import TableInfo

from .mlflow_model import FILE, PYFUNC, MlflowModel, read_model
from .mlflow_script import behind_script
from .source import Conversion, Converter, Source, converter_for

Find: TypeAlias = Callable[[MlflowModel, dict[str, Any]], Path]


def recognises(source: Source) -> bool:
    """A directory with an MLmodel file, or that file itself."""
    path = source.path
    if path is None or source.script is not None:
        return False
    return (path / FILE).is_file() or (path.name == FILE and path.is_file())


def convert(source: Source, work: Path) -> Conversion:
    """By the converter of a flavor, else behind a script. BadArtefact says what the directory lacks."""
    path = source.path
    assert path is not None
    model = read_model(path if path.is_dir() else path.parent)
    reason = ""
    for flavor, find in FLAVORS.items():
        if flavor not in model.flavors or reason:
            continue
        inner = replace(source, path=usual(find(model, model.flavors[flavor]), work))
        converter, reason = _converter(model, flavor, inner)
        if converter is not None:
            return _told(model, flavor, _converted(converter, model, inner, work))
    conversion = behind_script(model, source, reason or _no_flavor(model), work)
    conversion.lineage = model.lineage
    return conversion


def _converter(model: MlflowModel, flavor: str, inner: Source) -> tuple[Converter | None, str]:
    """Who converts a flavor's file; or nobody, and why MLflow itself is asked instead."""
    asked = model.flavors.get(PYFUNC, {}).get("predict_fn", "predict")
    if asked not in ("predict", "predict_proba"):
        return None, f"its predictions are those of {asked}(), which no converted model answers"
    try:
        return converter_for(inner), ""
    except BadArtefact as e:
        if PYFUNC not in model.flavors:
            raise
        return None, f"flavor {flavor}: {e.message.removeprefix(f'{inner.path}: ')}"


def _converted(converter: Converter, model: MlflowModel, inner: Source, work: Path) -> Conversion:
    example, problem = (None, "") if inner.sample is not None else model.example_rows()
    conversion = converter.convert(replace(inner, sample=example) if example is not None else inner, work)
    if example is not None:
        conversion.example = conversion.example or example
        problem = "the rows are those of the model's input example; --sample gives others"
    if problem:
        conversion.notes = (*conversion.notes, problem)
    return conversion


def _told(model: MlflowModel, flavor: str, conversion: Conversion) -> Conversion:
    """The conversion with what MLmodel says beside the model itself."""
    asked = model.flavors.get(PYFUNC, {}).get("predict_fn", "predict")
    chosen: tuple[str, ...] = ()
    if "label" in conversion.labels:
        chosen = ("label",) if asked == "predict" else ("probabilities",)
    table = TableInfo(columns=model.columns, predictions=chosen)
    if table != TableInfo():
        conversion.manifest = {**conversion.manifest, "table": table}
    saved = model.told.get("mlflow_version", "")
    note = f"from the flavor {flavor} of a model saved by MLflow {saved}".removesuffix(" ")
    conversion.notes = (*conversion.notes, note)
    conversion.lineage = model.lineage
    return conversion


def _no_flavor(model: MlflowModel) -> str:
    return f"flavors {', '.join(sorted(model.flavors))}: MLflow itself is asked"


def usual(path: Path, work: Path) -> Path:
    """The file under the suffix that its own framework gives it, by which converters know it; MLflow has others."""
    suffix = _USUAL.get(path.suffix.lower(), "")
    if path.suffix.lower() == ".xgb":
        with path.open("rb") as f:
            suffix = ".ubj" if f.read(2)[1:] == b"L" else ".json"  # the length of a UBJSON object's first key
    if not suffix or not path.is_file():
        return path
    target = work / f"{path.stem}{suffix}"
    shutil.copyfile(path, target)
    return target


def _named(key: str, default: str = "") -> Find:
    return lambda model, flavor: model.place(flavor.get(key) or default, f"'{key}'")


def _pytorch(model: MlflowModel, flavor: dict[str, Any]) -> Path:
    """An exported program, else what torch.save or TorchScript wrote."""
    folder = model.place(flavor.get("model_data") or "data", "'model_data'")
    return _first(folder, "model.pt2", "model.pth")


def _keras(model: MlflowModel, flavor: dict[str, Any]) -> Path:
    folder = model.place(flavor.get("data") or "data", "'data'")
    return _first(folder, "model.keras", "model.h5", "model")


def _tensorflow(model: MlflowModel, flavor: dict[str, Any]) -> Path:
    if flavor.get("saved_model_dir"):
        return model.place(flavor["saved_model_dir"], "'saved_model_dir'")
    return _keras(model, flavor)


def _first(folder: Path, *names: str) -> Path:
    found = next((folder / n for n in names if (folder / n).exists()), None)
    if found is None:
        raise BadArtefact(f"{folder}: expected {' or '.join(names)} in it")
    return found


_USUAL = {".lgb": ".txt", ".cb": ".cbm"}
# asked in this order: what needs the fewest steps to an ONNX file comes first
FLAVORS: dict[str, Find] = {
    "onnx": _named("data", "model.onnx"),
    "sklearn": _named("pickled_model", "model.pkl"),
    "pytorch": _pytorch,
    "keras": _keras,
    "tensorflow": _tensorflow,
    "xgboost": _named("data", "model.xgb"),
    "lightgbm": _named("data", "model.lgb"),
    "catboost": _named("data", "model.cb"),
}
