"""Locks from the index that this machine has, and what they hold put to the test: environments that run the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gantline.accelerators.script.environment import _source_view
from gantline.builders.lock.pylock import Lock
from gantline.builders.lock.resolve import lock_package
from gantline.builders.lock.solver import uv
from gantline.builders.lock.wheelhouse import fetch

import gantline
from gantline.oci.platforms import Platform
from gantline.packages import Package

pytestmark = pytest.mark.slow
PYTHON = (sys.version_info[0], sys.version_info[1])
PLATFORMS = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
SCORE = """
import json, os
import joblib

def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "iris.joblib"))

def run(data):
    return model.predict(json.loads(data)["data"]).tolist()
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine's indexes and settings, and a home of its own."""
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))


def verified(package: Package, lock: Lock, folder: Path) -> str:
    """Install the lock's wheels, and nothing else, and replay the golden samples there."""
    wheels = fetch(lock)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    words = [uv(), "pip", "install", "--no-deps", "--no-index", "--offline", "--python", str(folder / "bin/python")]
    subprocess.run([*words, *(str(w.path) for w in wheels)], check=True, capture_output=True)
    environ = {"PYTHONPATH": str(_source_view(folder)), "PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        [str(folder / "bin/python"), "-m", "gantline", "verify", str(package.path)],
        cwd=folder, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def locks(package: Package) -> dict[str, Lock]:
    """One for each platform; asked again, the same bytes."""
    found = {platform: lock_package(package, Platform.parse(platform), PYTHON) for platform in PLATFORMS}
    for platform, machine in PLATFORMS.items():
        (numpy,) = (p for p in found[platform].packages if p.name == "numpy")
        assert numpy.file.endswith(f"_{machine}.whl")
    last = next(reversed(PLATFORMS))
    assert lock_package(package, Platform.parse(last), PYTHON).to_bytes() == found[last].to_bytes()
    return found


def own(found: dict[str, Lock]) -> Lock:
    platform = str(Platform.of_this_machine())
    if sys.platform != "linux" or platform not in found:
        pytest.skip("what is locked for Linux is tried on Linux")
    return found[platform]


def test_iris_as_onnx(iris: tuple[object, object], tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = iris
    package = gantline.package(LogisticRegression(max_iter=500).fit(x, y), name="iris", output=tmp_path / "iris.pkg")
    found = locks(package)
    for lock in found.values():
        names = {p.name for p in lock.packages}
        assert "onnxruntime" in names and not names & {"scikit-learn", "onnx", "rich"}
        assert 30e6 < sum(p.size for p in lock.packages) < 80e6
    assert "replayed, max relative error" in verified(package, own(found), tmp_path / "env")


def test_a_script_around_scikit_learn(iris: tuple[object, object], tmp_path: Path) -> None:
    import joblib
    from sklearn.linear_model import LogisticRegression

    x, y = iris
    (tmp_path / "models").mkdir()
    joblib.dump(LogisticRegression(max_iter=500).fit(x, y), tmp_path / "models" / "iris.joblib")
    (tmp_path / "score.py").write_text(SCORE)
    (tmp_path / "body.json").write_text('{"data": [[5.1, 3.5, 1.4, 0.2]]}')
    package = gantline.package(
        None, name="iris", script=tmp_path / "score.py", model_dir=tmp_path / "models", sample=tmp_path / "body.json",
        output=tmp_path / "iris.pkg",
    )  # fmt: skip
    found = locks(package)
    for lock in found.values():
        names = {p.name for p in lock.packages}
        assert names >= {"scikit-learn", "scipy", "joblib"} and "onnxruntime" not in names
        assert any(a.origin == "models/iris.joblib holds objects of sklearn" for a in lock.asked)
    assert "1 request replayed" in verified(package, own(found), tmp_path / "env")
