"""XGBoost: Boosters and their scikit-learn estimators, in memory or in .json and .ubj files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gantline.errors import BadArtefact
from gantline.tensors import Array

from . import booster_trial
from .boosters import forest_of, framework_of, loaded, rounds_of
from .canonical import found_in
from .categories import Categories
from .face import Face, given, kinds_of, on_codes
from .source import Conversion, Source
from .xgboost_forest import categories_of
from .xgboost_forest import forest_of as trees_of

_HEAD = 4096  # bytes in which a model file names its first key
_SCRIPT = """
import xgboost


def load(path):
    booster = xgboost.Booster()
    booster.load_model(path)
    return booster


def answers(booster, table):
    # a data frame with categories says by itself what its columns are
    told = {} if CATEGORIES else {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    missing = np.nan if MISSING is None else MISSING
    data = xgboost.DMatrix(table, missing=missing, enable_categorical=True, **told)
    found = booster.predict(data, iteration_range=(0, ROUNDS))
    if CLASSES is None:
        return {"variable": found}
    if EACH:
        return {"label": found > 0.5, "probabilities": found}
    found = pairs(found)
    return {"label": np.asarray(CLASSES)[found.argmax(axis=1)], "probabilities": found}
"""


def recognises(source: Source) -> bool:
    """A .ubj file, a .json file that begins as XGBoost's do, or an object of XGBoost's."""
    path = source.path
    if path is None:
        return framework_of(source.object) == "xgboost"
    if path.suffix.lower() == ".ubj":
        return True
    return path.suffix.lower() == ".json" and path.is_file() and b'"learner"' in _head(path)


def convert(source: Source, work: Path) -> Conversion:
    """To ONNX where that is faithful, else behind a script; BadArtefact for what is not a trained model."""
    from .booster_face import convert_face

    if source.path is not None:
        booster_trial.check("xgboost", source.path)
    model = source.object if source.path is None else read(source.path)
    return convert_face(face_of(model, str(source.path or type(model).__name__)), source, work)


def face_of(model: Any, where: str = "") -> Face:
    """What there is to know of a Booster or of a fitted estimator."""
    if hasattr(model, "get_booster"):
        return _estimator(model, where)
    return _booster(model)


def _booster(booster: Any, missing: float = np.nan, rounds: int = 0) -> Face:
    names = tuple(booster.feature_names or ())
    codes = [at for at, kind in enumerate(booster.feature_types or ()) if kind == "c"]
    categories = categories_of(booster) if names and codes else {}

    def values(table: Any) -> Any:
        return booster.predict(_matrix(booster, table, missing, categories), iteration_range=(0, rounds))

    return Face(
        framework="xgboost",
        type=type(booster).__name__,
        width=int(booster.num_features()),
        names=names,
        values=values,
        read=lambda: trees_of(booster, rounds),
        save=booster.save_model,
        saved_as="model.ubj",
        script=_SCRIPT,
        facts={
            "MISSING": None if np.isnan(missing) else float(missing),
            "ROUNDS": rounds,
            "CLASSES": None,
            "EACH": False,
        },
        needs=("scipy",),
        kinds=kinds_of(categories),
        categories=categories,
        # XGBoost 3.2 means to raise an error; it takes some texts for the category after them
        refuses=True,
        notes=on_codes(names, [at for at in codes if at not in categories]),
    )


def _estimator(model: Any, where: str) -> Face:
    from sklearn.exceptions import NotFittedError

    try:
        booster = model.get_booster()
    except NotFittedError as e:
        raise BadArtefact(f"{where}: the {type(model).__name__} is not fitted: call fit() first") from e
    missing = float("nan") if model.missing is None else float(model.missing)
    face = replace(_booster(booster, missing, rounds_of(model)), type=type(model).__name__)
    face.read = lambda: forest_of(model)
    # the estimators' own predict wants columns of the very types that it was fitted on
    through_booster = "c" in (booster.feature_types or ())
    if not through_booster:
        face.values = model.predict
    if not hasattr(model, "predict_proba"):
        return face
    face.classes = np.asarray(model.classes_)
    each = getattr(model, "n_outputs_", 1) > 1 or model.predict_proba(np.zeros((1, face.width))).shape[1] != len(
        face.classes
    )
    face.facts.update(CLASSES=face.classes.tolist(), EACH=each)
    raw = face.values if through_booster else model.predict_proba
    face.values = lambda table: _pairs(raw(table))
    classes = face.classes
    face.labels = (lambda table: classes[face.values(table).argmax(axis=1)]) if through_booster else model.predict
    return face


def _pairs(found: Array) -> Array:
    return np.stack([1.0 - found, found], axis=1) if found.ndim == 1 else found


def _matrix(booster: Any, table: Any, missing: float, categories: Categories) -> Any:
    import xgboost

    # a data frame with categories says by itself what its columns are
    told = {} if categories else {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    return xgboost.DMatrix(given(table, categories), missing=missing, enable_categorical=True, **told)


def read(path: Path) -> Any:
    """The model in a file: the estimator that saved it, or a Booster."""
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected an XGBoost model")
    xgboost = loaded("xgboost", path)
    booster = xgboost.Booster()
    try:
        booster.load_model(path)
    except (xgboost.core.XGBoostError, ValueError, UnicodeDecodeError) as e:
        raise BadArtefact(f"{path}: expected an XGBoost model, found {found_in(path)}") from e
    kind = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    if kind is None:
        return booster
    model = {"classifier": xgboost.XGBClassifier, "ranker": xgboost.XGBRanker}.get(kind, xgboost.XGBRegressor)()
    model.load_model(path)
    return model


def _head(path: Path) -> bytes:
    with path.open("rb") as f:
        return f.read(_HEAD)
