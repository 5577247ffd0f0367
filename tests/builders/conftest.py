"""Data that scikit-learn ships, and one way to package into a temporary directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gantline
from gantline.packages import Package
from gantline.tensors import Array

Packager = Callable[..., Package]


@pytest.fixture(scope="session")
def iris() -> tuple[Array, Array]:
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def diabetes() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    return load_diabetes(return_X_y=True)  # type: ignore[no-any-return]


@pytest.fixture
def packaged(tmp_path: Path) -> Packager:
    """`packaged(model, **options)`: the package, under this test's own directory."""

    def make(model: Any, name: str = "model", **options: Any) -> Package:
        return gantline.package(model, name=name, output=tmp_path / f"{name}.pkg", **options)

    return make
