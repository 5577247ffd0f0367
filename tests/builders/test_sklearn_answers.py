"""What an estimator answers, under which name."""

from __future__ import annotations

import numpy as np
import pytest
from gantline.builders.sklearn_answers import Answer, answers_of, class_names, reference, rows_of, specs_of
from gantline.builders.sklearn_layout import layout_of
from sklearn.cluster import DBSCAN, KMeans
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import MultiOutputClassifier
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from gantline.errors import BadArtefact

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (LogisticRegression(), [("label", "predict"), ("probabilities", "predict_proba")]),
        (LinearSVC(), [("label", "predict"), ("probabilities", "decision_function")]),
        (Ridge(), [("variable", "predict")]),
        (StandardScaler(), [("variable", "transform")]),
        (KMeans(2, n_init=1), [("label", "predict"), ("scores", "transform")]),
        (GaussianMixture(2), [("label", "predict"), ("probabilities", "predict_proba")]),
        (IsolationForest(n_estimators=3), [("label", "predict"), ("scores", "decision_function")]),
    ],
)
def test_outputs_by_kind(model, expected) -> None:  # type: ignore[no-untyped-def]
    model.fit(X, Y)
    found = answers_of(model)
    assert [(a.name, a.method) for a in found] == expected
    shapes = [v.shape for v in reference(model, layout_of(model, None), found)({"X": X.astype(np.float32)})]
    assert all(s[0] == len(X) for s in shapes) and (shapes[0] == (40,)) == (found[0].name == "label")


def test_several_outputs_have_no_one_matrix_of_probabilities() -> None:
    model = MultiOutputClassifier(LogisticRegression()).fit(X, np.stack([Y, 1 - Y], axis=1))
    assert [a.name for a in answers_of(model)] == ["label"] and class_names(model) == ()


def test_what_has_no_answer_for_new_rows() -> None:
    with pytest.raises(BadArtefact, match="DBSCAN can neither predict nor transform"):
        answers_of(DBSCAN().fit(X))


def test_two_classes_of_scores_are_two_columns() -> None:
    scores = np.array([1.5, -2.0])
    assert rows_of(scores, Answer("probabilities", "decision_function")).tolist() == [[-1.5, 1.5], [2.0, -2.0]]
    assert rows_of(scores, Answer("variable", "predict")).shape == (2, 1)
    assert rows_of(np.ones((2, 1)), Answer("label", "predict")).shape == (2,)


def test_sparse_answers_become_plain() -> None:
    encoder = OneHotEncoder().fit([["a"], ["b"]])
    found = Answer("variable", "transform").of(encoder, [["b"]])
    assert found.tolist() == [[0.0, 1.0]]


def test_specifications_of_answers() -> None:
    answers = (Answer("label", "predict"), Answer("probabilities", "predict_proba"))
    found = [np.array(["x", "y"], object), np.ones((2, 2))]
    label, probabilities = specs_of(answers, found, ("x", "y"))
    assert (label.datatype, label.shape, label.labels) == ("BYTES", (-1,), ())
    assert (probabilities.datatype, probabilities.shape, probabilities.labels) == ("FP32", (-1, 2), ("x", "y"))
    assert class_names(LogisticRegression().fit(X, Y)) == ("0", "1")
