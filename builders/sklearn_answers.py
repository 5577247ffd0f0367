"""Answers: what a fitted scikit-learn estimator says, under the names that skl2onnx gives the same outputs.

classifier: `label` and `probabilities` (decision scores where there are no probabilities); outlier detector and
clusterer: `label` and `scores`; regressor and transformer: `variable`. Class names go to the signature's labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gantline.errors import BadArtefact
from gantline.signature import TensorSpec
from gantline.tensors import Array

from .sklearn_layout import Layout
from .source import Predict


@dataclass(frozen=True, slots=True)
class Answer:
    """One output: its name and the estimator's own method for it."""

    name: str
    method: str

    def of(self, estimator: Any, table: Any) -> Array:
        """The estimator's answer as rows; sparse and frame results become plain arrays."""
        found = getattr(estimator, self.method)(table)
        if hasattr(found, "toarray"):
            found = found.toarray()
        return np.asarray(found)


def answers_of(estimator: Any) -> tuple[Answer, ...]:
    """The outputs of an estimator, in skl2onnx's order. BadArtefact if it can neither predict nor transform."""
    from sklearn import base
    from sklearn.base import is_classifier, is_outlier_detector

    # is_clusterer is new in 1.6; a pickle is converted by the older scikit-learn that made it
    is_clusterer = getattr(base, "is_clusterer", lambda e: getattr(e, "_estimator_type", "") == "clusterer")
    if is_classifier(estimator) or (hasattr(estimator, "predict") and hasattr(estimator, "predict_proba")):
        second = next((m for m in ("predict_proba", "decision_function") if hasattr(estimator, m)), None)
        if isinstance(getattr(estimator, "classes_", None), list):
            second = None  # several outputs, each with classes of its own: there is no one matrix of probabilities
        label = Answer("label", "predict")
        return (label, Answer("probabilities", second)) if second else (label,)
    if is_outlier_detector(estimator) and hasattr(estimator, "predict"):
        return (Answer("label", "predict"), Answer("scores", "decision_function"))
    if is_clusterer(estimator) and hasattr(estimator, "predict"):
        label = Answer("label", "predict")
        return (label, Answer("scores", "transform")) if hasattr(estimator, "transform") else (label,)
    method = next((m for m in ("predict", "transform") if hasattr(estimator, m)), None)
    if method is None:
        hint = "; fit it with novelty=True" if hasattr(estimator, "novelty") else ""
        told = f"{type(estimator).__name__} can neither predict nor transform new rows: nothing to serve"
        raise BadArtefact(told + hint)
    return (Answer("variable", method),)


def reference(estimator: Any, layout: Layout, answers: tuple[Answer, ...]) -> Predict:
    """The source model as a function of tensors: the reference of parity."""

    def predict(inputs: Mapping[str, Array]) -> list[Array]:
        table = layout.table(inputs)
        return [rows_of(a.of(estimator, table), a) for a in answers]

    return predict


def rows_of(found: Array, answer: Answer) -> Array:
    """An answer in the shape that the packaged model gives it: columns are [-1, 1], labels [-1]."""
    if answer.name == "label":
        return found.reshape(-1) if found.ndim == 2 and found.shape[1] == 1 else found
    if found.ndim == 1:
        if answer.method == "decision_function" and answer.name == "probabilities":
            return np.stack([-found, found], axis=1)
        return found.reshape(-1, 1)
    return found


def class_names(estimator: Any) -> tuple[str, ...]:
    """The classes of a single-output classifier as text, else nothing."""
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return ()
    return tuple(str(c) for c in classes.tolist())


def specs_of(answers: tuple[Answer, ...], found: list[Array], labels: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """Specifications for answers that were seen once: text is BYTES, whole numbers INT64, everything else FP32."""
    out = []
    for answer, array in zip(answers, found, strict=True):
        kind = {"O": "BYTES", "U": "BYTES", "S": "BYTES", "T": "BYTES", "b": "BOOL", "i": "INT64", "u": "INT64"}
        datatype = kind.get(array.dtype.kind, "FP32")
        shape = (-1, *array.shape[1:])
        columns = shape[1:] == (len(labels),)
        out.append(TensorSpec(answer.name, datatype, shape, False, labels if columns else ()))
    return tuple(out)
