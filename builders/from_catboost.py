"""CatBoost: its models in memory or in .cbm files. (Its own .onnx files are ONNX files like others.)"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gantline.errors import BadArtefact

from . import booster_trial
from .boosters import forest_of, framework_of, loaded
from .canonical import found_in
from .face import Face
from .source import Conversion, Source

_MAGIC = b"CBM1"
_SCRIPT = """
import catboost


def load(path):
    return getattr(catboost, KIND)().load_model(path)


def answers(model, table):
    found = model.predict(table)
    if not CLASSIFIES:
        return {"variable": found}
    return {"label": found, "probabilities": model.predict_proba(table)}
"""


def recognises(source: Source) -> bool:
    """A .cbm file, or an object of CatBoost's."""
    if source.path is not None:
        return source.path.suffix.lower() == ".cbm"
    return framework_of(source.object) == "catboost"


def convert(source: Source, work: Path) -> Conversion:
    """To ONNX where that is faithful, else behind a script; BadArtefact for what is not a trained model."""
    from .booster_face import convert_face

    if source.path is not None:
        booster_trial.check("catboost", source.path)
    model = source.object if source.path is None else read(source.path)
    return convert_face(face_of(model, str(source.path or type(model).__name__)), source, work)


def face_of(model: Any, where: str = "") -> Face:
    """What there is to know of a fitted model."""
    if not model.is_fitted():
        raise BadArtefact(f"{where}: the {type(model).__name__} is not fitted: call fit() first")
    names = tuple(str(n) for n in model.feature_names_)
    texts = [*model.get_cat_feature_indices(), *model.get_text_feature_indices()]
    invented = names == tuple(map(str, range(len(names)))) and not texts
    classifies = hasattr(model, "predict_proba")
    face = Face(
        framework="catboost",
        type=type(model).__name__,
        width=len(names),
        names=() if invented else names,
        values=model.predict,
        read=lambda: forest_of(model),
        save=lambda path: model.save_model(str(path)),
        saved_as="model.cbm",
        script=_SCRIPT,
        facts={"KIND": type(model).__name__, "CLASSIFIES": classifies},
        kinds=tuple((int(at), "BYTES") for at in texts),
    )
    if not classifies:
        return face
    return replace(face, labels=model.predict, values=model.predict_proba, classes=np.asarray(model.classes_))


def read(path: Path) -> Any:
    """The model in a file, as a classifier where it knows classes."""
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected a CatBoost model")
    catboost = loaded("catboost", path)
    with path.open("rb") as f:
        if f.read(len(_MAGIC)) != _MAGIC:
            raise BadArtefact(f"{path}: expected a CatBoost model, found {found_in(path)}")
    try:
        model = catboost.CatBoost().load_model(str(path))
    except catboost.CatBoostError as e:
        raise BadArtefact(f"{path}: expected a CatBoost model, found one that is damaged or cut off") from e
    kind = catboost.CatBoostClassifier if len(model.classes_) else catboost.CatBoostRegressor
    return kind().load_model(str(path))
