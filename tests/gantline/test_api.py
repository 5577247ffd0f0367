"""gantline.package as Python programs call it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import gantline
from gantline.errors import BadArtefact, UsageError

X = np.random.default_rng(0).normal(size=(30, 2))
MODEL = Ridge().fit(X, X[:, 0])


@pytest.mark.parametrize("kind", ["array", "frame", "columns", "file", "path"])
def test_samples_of_every_kind(tmp_path: Path, kind: str) -> None:
    np.savetxt(tmp_path / "rows.csv", X, delimiter=",", header="a,b", comments="")
    sample = {
        "array": X,
        "frame": pd.DataFrame(X, columns=["a", "b"]),
        "columns": {"a": X[:, 0], "b": X[:, 1]},
        "file": str(tmp_path / "rows.csv"),
        "path": tmp_path / "rows.csv",
    }[kind]
    made = gantline.package(MODEL, name="m", sample=sample, output=tmp_path / "out")
    assert made.manifest.parity is not None
    assert (made.manifest.parity.sample, made.manifest.parity.rows) == ("given", 30)


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = gantline.package(MODEL, name="ridge", label="first", run="r1", dataset="d")
    assert made.path == Path("ridge.pkg") and (tmp_path / "ridge.pkg" / "manifest.json").is_file()
    assert {"label": "first", "run": "r1", "dataset": "d"}.items() <= made.lineage().items()


def test_mistakes_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to package"):
        gantline.package(name="m")
    with pytest.raises(UsageError, match="must not be negative"):
        gantline.package(MODEL, name="m", rtol=-1)
    with pytest.raises(BadArtefact, match="no such file"):
        gantline.package(tmp_path / "gone.onnx", name="m", output=tmp_path / "out")
    with pytest.raises(BadArtefact, match="no such file"):
        gantline.package(MODEL, name="m", sample=tmp_path / "gone.csv", output=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_importing_costs_nothing() -> None:
    """Neither numpy nor a builder nor onnxruntime comes with `import gantline` or with `gantline.package` unused."""
    heavy = "numpy", "onnx", "onnxruntime", "sklearn", "skl2onnx", "gantline.builders.pack", "starlette"
    program = f"import gantline, sys; sys.exit(any(m in sys.modules for m in {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
