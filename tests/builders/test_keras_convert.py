"""Files that need a class of the user's, and files that Keras cannot load."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
MODULE = """
import keras

class Doubling(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""
SAVE = """
import keras
from shop_layers import Doubling
keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), Doubling()]).save("m.keras")
"""


def test_a_class_of_the_users(tensorflow: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    (tmp_path / "shop_layers.py").write_text(MODULE)
    (tmp_path / "save.py").write_text(SAVE)
    assert tensorflow("save.py", cwd=tmp_path).returncode == 0
    command = ("-c", "from gantline.cli import main; main()", "package", "m.keras", "--name", "m")
    refused = tensorflow(*command, cwd=tmp_path)
    assert "holds Doubling" in refused.stderr and "--module shop_layers:Doubling" in refused.stderr
    done = tensorflow(*command, "--module", "shop_layers:Doubling", cwd=tmp_path)
    assert "engine" in done.stdout and "onnx" in done.stdout and done.stderr == ""


def test_a_file_that_keras_cannot_load(
    tensorflow: Callable[..., subprocess.CompletedProcess[str]], keras_models: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(keras_models / "mlp.keras") as whole, zipfile.ZipFile(tmp_path / "cut.keras", "w") as cut:
        for name in ("config.json", "metadata.json"):
            cut.writestr(name, whole.read(name))
    done = tensorflow("-m", "gantline", "package", str(tmp_path / "cut.keras"), "--name", "m")
    assert done.returncode == 3, done
    assert "cut.keras: Keras 3" in done.stderr and "cannot load it" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
