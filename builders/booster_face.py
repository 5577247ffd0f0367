"""A booster alone, in the manner of scikit-learn, so that it goes the way of estimators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from gantline.errors import Unsupported
from gantline.tensors import Array

from . import from_sklearn
from .booster_converter import register_faces
from .booster_script import behind_own_script
from .face import Face
from .source import Conversion, Source


class _Booster(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    def __init__(self, face: Face) -> None:
        self.face = face
        self.n_features_in_ = face.width
        if face.names:
            self.feature_names_in_ = np.array(face.names, object)
        if face.classes is not None:
            self.classes_ = face.classes

    def fit(self, X: Any, y: Any = None) -> _Booster:
        """Estimators have it; this one is fitted already."""
        raise Unsupported(f"a {self.face.type} that is being packaged is not trained further")


class BoosterRegressor(RegressorMixin, _Booster):  # type: ignore[misc]
    """One that answers numbers."""

    def predict(self, table: Any) -> Array:
        """What the framework says."""
        return np.asarray(self.face.values(table))


class BoosterClassifier(ClassifierMixin, _Booster):  # type: ignore[misc]
    """One that answers labels and probabilities."""

    def predict(self, table: Any) -> Array:
        """The label that the framework says."""
        assert self.face.labels is not None
        return np.asarray(self.face.labels(table))

    def predict_proba(self, table: Any) -> Array:
        """What the framework says."""
        return np.asarray(self.face.values(table))


def estimator_of(face: Face) -> _Booster:
    """The face in the manner of scikit-learn."""
    return BoosterRegressor(face) if face.labels is None else BoosterClassifier(face)


def convert_face(face: Face, source: Source, work: Path) -> Conversion:
    """To ONNX where that is faithful, else behind a script with the framework's own file."""
    register_faces()
    made = from_sklearn.convert_estimator(estimator_of(face), source, work, behind_own_script)
    return replace(made, framework=face.framework, type=face.type, notes=(*made.notes, *face.notes))
