"""A package to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gantline


@pytest.fixture(scope="session")
def iris_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data, labels = load_iris(return_X_y=True)
    target = tmp_path_factory.mktemp("packages") / "iris.pkg"
    model = LogisticRegression(max_iter=1000).fit(data, labels)
    gantline.package(model, name="iris", sample=data.astype(np.float32), output=target)
    return target
