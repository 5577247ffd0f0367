"""The tests of boosters in the environment that has the three frameworks, made by scripts/rivals.py."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter that has XGBoost, LightGBM and CatBoost beside what packages their models."""
    spec = importlib.util.spec_from_file_location("rivals", ROOT / "scripts" / "rivals.py")
    assert spec is not None and spec.loader is not None
    rivals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rivals)
    try:
        found: Path = rivals.ensure("boosters")
    except (SystemExit, OSError, subprocess.SubprocessError) as e:
        pytest.skip(f"the boosters cannot be installed here: {e}")
    return found


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm", "catboost"])
def test_its_models(python: Path, framework: str, tmp_path: Path) -> None:
    tests = ROOT / "tests" / "builders" / f"test_from_{framework}.py"
    # not from ROOT, whose folder gantline would hide what is below it elsewhere
    options = [
        "-q",
        "-c",
        str(ROOT / "pyproject.toml"),
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(tmp_path / "inner"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "typings"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), "-m", "pytest", *options, str(tests)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found and int(found[1]) >= 10 and "skipped" not in done.stdout, done.stdout[-2000:]
