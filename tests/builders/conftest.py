"""Data that scikit-learn ships, and one way to package into a temporary directory."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gantline.accelerators.script.environment import Environment, _source_view

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


@pytest.fixture(scope="session")
def tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`tensorflow(*arguments, cwd=...)`: run the interpreter that has TensorFlow, Keras and this Gantline."""
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location("rivals", root / "scripts" / "rivals.py")
    assert spec is not None and spec.loader is not None
    rivals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rivals)
    try:
        python: Path = rivals.ensure("tensorflow")
    except (SystemExit, OSError, subprocess.SubprocessError) as e:
        pytest.skip(f"tensorflow cannot be installed here: {e}")
    home = tmp_path_factory.mktemp("home")
    variables = Environment(python, _source_view(home)).variables(os.environ)
    variables |= {"GANTLINE_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(python), *arguments]
        return subprocess.run(
            command, cwd=cwd or home, env=variables, capture_output=True, text=True, timeout=300, check=False
        )

    return run


@pytest.fixture(scope="session")
def keras_models(
    tensorflow: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The models of tensorflow_program.py, with what they were given and answered; not to be written to."""
    folder = tmp_path_factory.mktemp("keras")
    done = tensorflow(str(Path(__file__).with_name("tensorflow_program.py")), str(folder))
    assert done.returncode == 0, done.stderr
    return folder
