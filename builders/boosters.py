"""Boosters: which models are gradient boosters of XGBoost, LightGBM or CatBoost, and the trees in them.

Looks at names of modules alone, so that none of the three is imported for a model that is something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from gantline.errors import Unsupported

from .face import Face
from .forest import Forest
from .ranges import Ranges
from .soundness import parts_of

FRAMEWORKS = {"xgboost": "XGBoost", "lightgbm": "LightGBM", "catboost": "CatBoost"}
# distributions that have the module; the first is the one to name when it is missing
DISTRIBUTIONS = {"xgboost": ("xgboost", "xgboost-cpu"), "lightgbm": ("lightgbm",), "catboost": ("catboost",)}


def framework_of(model: Any) -> str:
    """`xgboost`, `lightgbm` or `catboost`, if the model or one of its base classes is from there, else nothing."""
    for kind in type(model).__mro__:
        top = kind.__module__.partition(".")[0]
        if top in FRAMEWORKS:
            return top
    return ""


def is_estimator(model: Any) -> bool:
    """Whether a model is a booster's scikit-learn face; CatBoost has no other."""
    return bool(framework_of(model)) and hasattr(model, "get_params") and hasattr(model, "fit")


def face_in(model: Any) -> Face | None:
    """The booster that an estimator of booster_face stands for."""
    found = getattr(model, "face", None)
    return found if isinstance(found, Face) else None


def forest_of(model: Any) -> Forest:
    """The trees of a fitted booster in the manner of scikit-learn. Unsupported says what no ONNX tree can say."""
    if (face := face_in(model)) is not None:
        return face.forest()
    return _READERS[framework_of(model)](model)


def forest_in(model: Any) -> Forest | None:
    """The same for any estimator: None if it is no booster, or one whose trees cannot be told."""
    if face_in(model) is None and not is_estimator(model):
        return None
    try:
        return forest_of(model)
    except (Unsupported, KeyError, ValueError):
        return None


def _xgboost(model: Any) -> Forest:
    from .xgboost_forest import forest_of

    forest = forest_of(model.get_booster(), rounds_of(model))
    missing = model.missing
    return forest if missing is None or np.isnan(missing) else replace(forest, sentinel=float(missing))


def rounds_of(model: Any) -> int:
    """The rounds that an XGBoost estimator predicts with: up to its best one, if it stopped early; 0: all."""
    try:
        return int(model.best_iteration) + 1
    except AttributeError:
        return 0


def _lightgbm(model: Any) -> Forest:
    from .lightgbm_forest import forest_of

    return forest_of(model.booster_)


def _catboost(model: Any) -> Forest:
    from .catboost_forest import forest_of

    return forest_of(model)


_READERS: dict[str, Callable[[Any], Forest]] = {"xgboost": _xgboost, "lightgbm": _lightgbm, "catboost": _catboost}


def versions_in(model: Any) -> dict[str, str]:
    """The distributions of the boosters that an estimator consists of, with their versions."""
    found = {face.framework if (face := face_in(one)) else framework_of(one) for one in parts_of(model)}
    names = [name for framework in sorted(found - {""}) for name in DISTRIBUTIONS[framework]]
    return {name: there for name in names if (there := version_of(name))}


def version_of(name: str) -> str:
    """The installed version of a distribution, nothing when it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def loaded(framework: str, path: Any) -> Any:
    """The framework's module. Unsupported names the command that installs it, for a file that only it can read."""
    try:
        return import_module(framework)
    except ModuleNotFoundError as e:
        raise Unsupported(f"{path}: reading it needs {FRAMEWORKS[framework]}: pip install {framework}") from e


def boosted_ranges(model: Any, width: int) -> Ranges | None:
    """What a booster's trees tell of each of its columns; None if it is none, or its trees cannot be told."""
    if (face := face_in(model)) is not None:
        return face.ranges()
    forest = forest_in(model)
    return forest.ranges() if forest is not None and forest.width == width else None
