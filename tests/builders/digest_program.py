"""Package some estimators in the current directory and print their digests; run by test_from_sklearn, twice."""

from __future__ import annotations

import sys
from typing import Any

from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

import gantline


def made(kind: str) -> Any:
    iris, diabetes = load_iris(return_X_y=True), load_diabetes(return_X_y=True)
    if kind == "neighbours":
        return KNeighborsClassifier().fit(*iris)
    if kind == "process":
        kernel = RBF() + ConstantKernel()
        return GaussianProcessRegressor(kernel=kernel, optimizer=None).fit(diabetes[0][:40], diabetes[1][:40])
    if kind == "stack":
        parts = [("a", KNeighborsClassifier()), ("b", LogisticRegression(max_iter=500))]
        return StackingClassifier(parts, cv=2).fit(*iris)
    texts, target = ["good film", "bad film", "so good", "so bad"] * 3, [1, 0, 1, 0] * 3
    vectoriser = HashingVectorizer(stop_words=["so", "film", "and"], n_features=16)
    return make_pipeline(vectoriser, LogisticRegression()).fit(texts, target)


if __name__ == "__main__":
    for kind in ("neighbours", "process", "stack", "script"):
        package = gantline.package(made(kind), name=kind, env="current")
        sys.stdout.write(f"{package.digest}\n")
