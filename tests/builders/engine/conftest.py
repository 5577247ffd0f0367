"""A package to run, and an image of it."""

from __future__ import annotations

import os
import subprocess
import sys
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


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, iris_package: Path, base_tar: Path) -> Path:
    """A home whose store has iris:latest."""
    made = tmp_path_factory.mktemp("home")
    words = [sys.executable, "-m", "gantline", "build", str(iris_package), "--base", str(base_tar), "--no-record"]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=os.environ | {"GANTLINE_HOME": str(made)}
    )
    assert done.returncode == 0, done.stderr
    return made
