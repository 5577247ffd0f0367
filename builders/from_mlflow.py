"""An MLflow model directory: the file of its first flavor that has a converter here is that converter's source.

What has none (a python_function of one's own, say) goes behind a script that asks MLflow itself, in the environment
that was recorded. The signature's names, the input example and where the model came from are kept either way.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from gantline.errors import BadArtefact, GantlineError, Unsupported, UsageError
from gantline.manifest import TableInfo

from .from_script import is_pickle
from .mlflow_elsewhere import convert as convert_elsewhere
from .mlflow_elsewhere import is_elsewhere, with_recorded
from .mlflow_model import FILE, PYFUNC, MlflowModel, read_model
from .mlflow_run import run_of
from .mlflow_script import behind_script
from .source import Conversion, Converter, Source, converter_for

Find: TypeAlias = Callable[[MlflowModel, dict[str, Any]], Path]


def recognises(source: Source) -> bool:
    """A directory with an MLmodel file, that file itself, or one of MLflow's addresses, to be told what to do."""
    path = source.path
    if path is None or source.script is not None:
        return source.reference.startswith(ADDRESSES)
    return (path / FILE).is_file() or (path.name == FILE and path.is_file()) or _logged(path) is not None


def _logged(path: Path) -> Path | None:
    """The model's own directory in that of a run, or of a logged model, with exactly one in its artifacts."""
    if not _LOGGED.fullmatch(path.name):
        return None
    found = [p.parent for p in (*path.glob(f"artifacts/{FILE}"), *path.glob(f"artifacts/*/{FILE}")) if p.is_file()]
    return found[0] if len(found) == 1 else None


def convert(source: Source, work: Path) -> Conversion:
    """By the converter of a flavor, else behind a script. BadArtefact says what the directory lacks."""
    path = source.path
    if path is None:
        raise UsageError(
            f"{source.reference}: a tracking server is not asked; type: mlflow artifacts download -u "
            f"{source.reference} -d FOLDER, and package the folder with {FILE} in it"
        )
    place = path if path.is_dir() else path.parent
    model = read_model(place if (place / FILE).is_file() else _logged(place) or place)
    reason = ""
    for flavor, find in FLAVORS.items():
        if flavor not in model.flavors or reason:
            continue
        inner = replace(source, path=usual(find(model, model.flavors[flavor]), work))
        converter, reason = _converter(model, flavor, inner)
        if converter is None:
            continue
        try:
            return _told(model, flavor, _converted(converter, model, flavor, inner, work))
        except (BadArtefact, Unsupported, UsageError) as e:
            reason = _instead(model, flavor, inner, e)
    conversion = behind_script(model, source, reason or _no_flavor(model), work)
    conversion.lineage = _lineage(model)
    return conversion


def _instead(model: MlflowModel, flavor: str, inner: Source, error: GantlineError) -> str:
    """Why MLflow itself is asked for a pickle that cannot be converted: it may need code that lies beside it.

    The error again for anything else, with the recorded versions where a framework is not here.
    """
    pickled = inner.path is not None and is_pickle(inner.path)
    if pickled and inner.trust_pickle and PYFUNC in model.flavors:
        return _told_of(flavor, inner, error)
    recorded = model.root / "requirements.txt"
    heavy = flavor in ("keras", "tensorflow") and inner.environment is None
    if heavy and isinstance(error, UsageError) and recorded.is_file():
        raise UsageError(f"{error.message}; the versions that made it: --env {recorded}") from error
    raise error


def _lineage(model: MlflowModel) -> dict[str, Any]:
    """What MLmodel tells, and the store of runs in which it still lies."""
    return {**run_of(model.root, model.told.get("run_id", "")), **model.lineage}


def _converter(model: MlflowModel, flavor: str, inner: Source) -> tuple[Converter | None, str]:
    """Who converts a flavor's file; or nobody, and why MLflow itself is asked instead."""
    asked = model.flavors.get(PYFUNC, {}).get("predict_fn", "predict")
    if asked not in ("predict", "predict_proba"):
        return None, f"its predictions are those of {asked!s:.40}(), which no converted model answers"
    if model.params and PYFUNC in model.flavors and flavor in _PARAMETRIC:
        names = ", ".join(str(p.get("name")) for p in model.params)[:100]
        return None, f"its predictions depend on parameters ({names}), which no tensor carries"
    if flavor == "catboost" and PYFUNC in model.flavors and (own := _own_catboost(model.flavors[flavor])):
        return None, own
    try:
        return converter_for(inner), ""
    except BadArtefact as e:
        if PYFUNC not in model.flavors:
            raise
        return None, _told_of(flavor, inner, e)


def _own_catboost(keys: dict[str, Any]) -> str:
    """Why CatBoost itself is asked: for a file of another format, or for the raw values of a model without a kind."""
    if (saved := keys.get("save_format", "cbm")) != "cbm":
        return f"it is saved in CatBoost's format {saved!s:.40}, which CatBoost alone reads"
    if (kind := keys.get("model_type", "CatBoostRegressor")) not in ("CatBoostClassifier", "CatBoostRegressor"):
        return f"its predictions are the raw values of a {kind!s:.40}, which its file does not tell from a classifier"
    return ""


def _told_of(flavor: str, inner: Source, error: GantlineError) -> str:
    return f"flavor {flavor}: {error.message.removeprefix(f'{inner.path}: ')}"


def _converted(converter: Converter, model: MlflowModel, flavor: str, inner: Source, work: Path) -> Conversion:
    example, problem = (None, "") if inner.sample is not None else model.example_rows()
    known = with_recorded(model, inner if example is None else replace(inner, sample=example), work)
    if is_elsewhere(flavor, converter, known):
        conversion = convert_elsewhere(model, flavor, known, work)
    else:
        conversion = converter.convert(known, work)
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
    known = conversion.manifest.get("table", TableInfo())
    columns = model.columns or known.columns
    table = TableInfo(columns=columns, predictions=chosen, form=form_of(model, flavor, chosen))
    if table != TableInfo():
        conversion.manifest = {**conversion.manifest, "table": table}
    saved = model.told.get("mlflow_version", "")
    note = f"from the flavor {flavor} of a model saved by MLflow {saved}".removesuffix(" ")
    conversion.notes = (*conversion.notes, note)
    conversion.lineage = _lineage(model)
    return conversion


def form_of(model: MlflowModel, flavor: str, chosen: tuple[str, ...] = ()) -> str:
    """How MLflow's server tells this flavor's answers: its wrappers make of arrays what the signature's kind asks for.

    Without a signature it hangs on the form of the request; a plain list is the answer then.
    """
    framed = bool(model.inputs) and all(i.get("type") != "tensor" for i in model.inputs)
    if flavor == "onnx":
        return "" if not model.inputs else "records" if framed else "outputs"
    if flavor in ("pytorch", "keras", "tensorflow"):
        return "columns" if framed and not model.flavors[flavor].get("saved_model_dir") else ""
    wide = any(len(_shape(o)) > 1 for o in model.outputs)
    return "" if chosen or wide else "numbers"


def _shape(tensor: dict[str, Any]) -> list[Any]:
    spec = tensor.get("tensor-spec")
    shape = spec.get("shape") if isinstance(spec, dict) else None
    return shape if isinstance(shape, list) else []


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
    return _first(model, flavor.get("model_data") or "data", "'model_data'", "model.pt2", "model.pth")


def _keras(model: MlflowModel, flavor: dict[str, Any]) -> Path:
    return _first(model, flavor.get("data") or "data", "'data'", "model.keras", "model.h5", "model")


def _tensorflow(model: MlflowModel, flavor: dict[str, Any]) -> Path:
    if flavor.get("saved_model_dir"):
        return model.place(flavor["saved_model_dir"], "'saved_model_dir'")
    return _keras(model, flavor)


def _first(model: MlflowModel, inside: Any, what: str, *names: str) -> Path:
    folder = model.place(inside, what)
    found = next((n for n in names if os.path.lexists(folder / n)), None)
    if found is None:
        raise BadArtefact(f"{folder}: expected {' or '.join(names)} in it")
    return model.place(f"{inside}/{found}", what)


_LOGGED = re.compile(r"(m-)?[0-9a-f]{32}")  # what MLflow calls runs, and models since 3.0
ADDRESSES = ("models:/", "runs:/", "mlflow-artifacts:/")
_PARAMETRIC = ("xgboost", "pytorch", "tensorflow", "keras")  # whose wrappers hand parameters on
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
