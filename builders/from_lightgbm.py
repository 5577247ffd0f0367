"""LightGBM: Boosters and their scikit-learn estimators, in memory or in .txt files."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gantline.errors import BadArtefact, Unsupported

from . import booster_trial
from .boosters import framework_of, loaded
from .canonical import found_in
from .categories import Categories, usable
from .face import Face, given, kinds_of, on_codes
from .lightgbm_forest import forest_of
from .source import Conversion, Source

_FIRST = b"tree\n"  # line of a model file
_CATEGORICAL = re.compile(r"^\[categorical_feature: ([\d,]*)\]$", re.MULTILINE)
_SCRIPT = """
import lightgbm


def load(path):
    return lightgbm.Booster(model_file=path)


def answers(booster, table):
    found = booster.predict(table)
    if CLASSES is None:
        return {"variable": found}
    found = pairs(found)
    return {"label": np.asarray(CLASSES)[found.argmax(axis=1)], "probabilities": found}
"""


def recognises(source: Source) -> bool:
    """A .txt file that begins as LightGBM's do, or an object of LightGBM's."""
    path = source.path
    if path is None:
        return framework_of(source.object) == "lightgbm"
    if path.suffix.lower() != ".txt" or not path.is_file():
        return False
    with path.open("rb") as f:
        return f.read(len(_FIRST) + 1).replace(b"\r\n", b"\n").startswith(_FIRST)


def convert(source: Source, work: Path) -> Conversion:
    """To ONNX where that is faithful, else behind a script; BadArtefact for what is not a trained model."""
    from .booster_face import convert_face

    if source.path is not None:
        booster_trial.check("lightgbm", source.path)
    model = source.object if source.path is None else read(source.path)
    if source.sample is not None:  # LightGBM calls "home city" home_city
        source = replace(source, sample={name.replace(" ", "_"): rows for name, rows in source.sample.items()})
    return convert_face(face_of(model, str(source.path or type(model).__name__)), source, work)


def face_of(model: Any, where: str = "") -> Face:
    """What there is to know of a Booster or of a fitted estimator."""
    if not hasattr(model, "get_params"):
        return _booster(model)
    from sklearn.exceptions import NotFittedError

    try:
        face = replace(_booster(model.booster_), type=type(model).__name__)
    except NotFittedError as e:
        raise BadArtefact(f"{where}: the {type(model).__name__} is not fitted: call fit() first") from e
    face.values = lambda table: model.predict(given(table, face.categories))
    if hasattr(model, "predict_proba"):
        face.classes = np.asarray(model.classes_)
        face.facts["CLASSES"] = face.classes.tolist()
        face.labels = face.values
        face.values = lambda table: model.predict_proba(given(table, face.categories))
    return face


def _booster(booster: Any) -> Face:
    names = tuple(booster.feature_name())
    invented = names == tuple(f"Column_{i}" for i in range(len(names)))
    names = () if invented else names
    categories = _categories(booster) if names else {}
    face = Face(
        framework="lightgbm",
        type=type(booster).__name__,
        width=int(booster.num_feature()),
        names=names,
        values=lambda table: booster.predict(given(table, categories)),
        read=lambda: forest_of(booster),
        save=booster.save_model,
        saved_as="model.txt",
        script=_SCRIPT,
        facts={"CLASSES": None},
        kinds=kinds_of(categories),
        categories=categories,
        needs=("scipy",),
    )
    with suppress(Unsupported):
        face.notes = on_codes(names, [at for at in face.forest().categorical if at not in categories])
    return face


def _categories(booster: Any) -> Categories:
    """What the codes of each categorical column stand for; nothing where the model does not say whose they are.

    It keeps lists in the order of the data frame's columns: those that are categorical to it, unless some were ordered
    (which are numbers to LightGBM) or chosen by the user instead.
    """
    known = [usable(values) for values in booster.pandas_categorical or ()]
    told = _CATEGORICAL.search(booster.model_to_string(num_iteration=1))
    columns = [int(c) for c in told[1].split(",") if c] if told else []
    return dict(zip(columns, known, strict=True)) if len(columns) == len(known) and all(known) else {}


def read(path: Path) -> Any:
    """The Booster in a file; BadArtefact for what LightGBM does not take for one."""
    lightgbm = loaded("lightgbm", path)
    try:
        return lightgbm.Booster(model_str=path.read_text("utf-8"))
    except (lightgbm.basic.LightGBMError, ValueError) as e:
        raise BadArtefact(f"{path}: expected a LightGBM model, found {found_in(path)}") from e
