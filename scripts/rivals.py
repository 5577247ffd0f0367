"""Make the virtual environments of rivals and oracles, one each, and hold them to exact versions.

`python scripts/rivals.py [NAME ...]` (all when none is named). They live in .venvs/NAME and are made once, and again
when their list changes: our own dependencies resolve together, these do not (azureml-inference-server-http wants numpy
below 2).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from gantline.file_lock import only_one

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venvs"

# name -> exact requirements; the first is the product itself
RIVALS: dict[str, tuple[str, ...]] = {
    "azureml-server": (
        "azureml-inference-server-http==1.5.1",
        "inference-schema==1.8",
        "numpy==2.4.6",
        "pandas==3.1.1",
        "onnxruntime==1.31.1",
    ),
    "bentoml": ("bentoml==1.4.40", "onnxruntime==1.31.1", "numpy==2.4.6"),
    # blob stores as fsspec reaches them, a server of one (Azurite, the other's, is npm's), and what a registry needs
    "blob-stores": (
        "s3fs==2026.9.0",
        "adlfs==2026.8.0",
        "moto[server]==5.2.5",
        "fsspec==2026.9.0",
        "numpy==2.4.6",
        "pyyaml==6.0.3",
        "sqlalchemy==2.1.9",
    ),
    # sources of models, with what packages them; xgboost-cpu is xgboost without CUDA's libraries
    "boosters": (
        "xgboost-cpu==3.2.0",
        "lightgbm==4.7.0",
        "catboost==1.2.10",
        "hypothesis==6.170.15",
        "ml-dtypes==0.5.4",
        "numpy==2.4.6",
        "onnx==1.23.2",
        "onnxruntime==1.31.1",
        "orjson==3.13.0",
        "packaging==26.3",
        "pandas==3.1.1",
        "protobuf==7.36.2",
        "pytest==9.2.0",
        "scikit-learn==1.9.1",
        "skl2onnx==1.20.0",
        "skops==0.16.0",
    ),
    # what judges bills of materials
    "bills": ("cyclonedx-python-lib[json-validation]==11.12.0", "spdx-tools==0.8.5"),
    "kserve": ("kserve==0.21.0", "onnxruntime==1.31.1"),
    "litserve": ("litserve==0.2.19", "onnxruntime==1.31.1", "numpy==2.4.6"),
    # what judges deployment descriptions, by the schemas that are published, and what runs compose files
    "manifests": ("kubernetes-validate==1.37.0", "check-jsonschema==0.39.0", "podman-compose==1.6.0"),
    "mlflow": ("mlflow==3.17.2", "onnxruntime==1.31.1", "onnx==1.23.2"),
    # its worker processes fail with newer uvloops
    "mlserver": ("mlserver==1.7.1", "onnxruntime==1.23.2", "numpy==1.26.4", "uvloop==0.21.0"),
    # what judges the OpenAPI document, and what asks a server by it
    "openapi": ("schemathesis==4.32.5", "openapi-spec-validator==0.9.0", "jsonschema==4.26.0"),
    "ray": ("ray[serve]==2.60.0", "onnxruntime==1.31.1", "numpy==2.4.6"),
    # no rival: what reads Keras models and SavedModels, with what packages them (the converters want no other numpy)
    "tensorflow": (
        "tensorflow-cpu==2.21.0",
        "keras==3.15.1",
        "jax==0.10.2",
        "tf2onnx==1.17.0",
        "onnx==1.23.2",
        "onnxruntime==1.31.1",
        "orjson==3.13.0",
        "packaging==26.3",
        "pyyaml==6.0.3",
        "scikit-learn==1.9.1",
    ),
    # the only tritonserver on PyPI: the C++ server with its Python backend
    "triton": ("nvidia-pytriton==0.7.0", "onnxruntime==1.31.1"),
}
# name -> the npm package of that exact version whose program it is
PROGRAMS = {"azurite": "azurite@3.37.0"}
STAMP = "made-of.txt"  # in an environment, written last: the list that it was made of


def ensure(name: str) -> Path:
    """The environment's interpreter, made if missing, and anew if its list has changed. SystemExit if it cannot be."""
    home = HOME / name
    if not _is_made_of(home, RIVALS[name]):
        HOME.mkdir(exist_ok=True)
        with only_one(HOME / f"{name}.lock"):  # tests in another process may be at it
            if not _is_made_of(home, RIVALS[name]):
                _make(name, home)
    return _python(home)


def _python(home: Path) -> Path:
    return home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _is_made_of(home: Path, wanted: tuple[str, ...]) -> bool:
    """Whole, and of this list: extras and what was taken out of it cannot be seen in what is installed."""
    try:
        return _python(home).exists() and (home / STAMP).read_text("utf-8") == _listed(wanted)
    except OSError:
        return False


def _listed(wanted: tuple[str, ...]) -> str:
    return "".join(f"{one}\n" for one in wanted)


def _make(name: str, home: Path) -> None:
    wanted = RIVALS[name]
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    words: list[str | Path] = [_python(home), "-m", "pip", "install", "--quiet", *wanted]
    if subprocess.run(words, check=False).returncode:
        shutil.rmtree(home, ignore_errors=True)
        raise SystemExit(f"{name}: {', '.join(wanted)} could not be installed")
    (home / STAMP).write_text(_listed(wanted), "utf-8")


def program(name: str) -> Path:
    """An npm package's program, installed if missing. SystemExit if it cannot be."""
    home = HOME / name
    script = home / "node_modules" / ".bin" / name
    marker = home / "version"
    if not script.exists() or not marker.exists() or marker.read_text() != PROGRAMS[name]:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        words = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(home), PROGRAMS[name]]
        if shutil.which("npm") is None or subprocess.run(words, check=False).returncode or not script.exists():
            shutil.rmtree(home, ignore_errors=True)
            raise SystemExit(f"{name}: {PROGRAMS[name]} could not be installed; it needs Node.js and npm")
        marker.write_text(PROGRAMS[name])
    return script


if __name__ == "__main__":
    for one in sys.argv[1:] or RIVALS:
        sys.stdout.write(f"{one}: {ensure(one)}\n")
