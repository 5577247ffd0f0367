"""The demo: right answers end with 0, wrong ones do not, and everything it started has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantline import exits
from gantline.cli import demo, demo_models, main


@pytest.fixture
def iris_alone(monkeypatch: pytest.MonkeyPatch) -> demo_models.Trained:
    """The demo with one model and short measurements."""
    model = demo_models._iris()
    monkeypatch.setattr(demo_models, "train", lambda work: [model])
    monkeypatch.setattr(demo, "MEASURE_S", 0.05)
    return model


def report(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_right_answers(iris_alone: demo_models.Trained, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["demo", "--json", "-o", str(tmp_path / "kept")]) == exits.OK
    found = report(capsys)
    assert found["right"] is True
    (row,) = found["models"]
    assert (row["model"], row["engine"], row["faces"]) == ("iris", "onnx", "JSON, binary")
    assert row["before"] == row["after"]
    assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert row["rows_per_s"] > 0
    assert (tmp_path / "kept" / "iris.pkg" / "manifest.json").is_file()


def test_wrong_answers_fail(iris_alone: demo_models.Trained, capsys: pytest.CaptureFixture[str]) -> None:
    iris_alone.before = np.roll(iris_alone.before, 1)  # what the source model is said to have answered
    assert main(["demo", "--json"]) == exits.FAILED
    assert report(capsys)["right"] is False


def test_the_table_is_for_people(iris_alone: demo_models.Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == exits.OK
    out = capsys.readouterr().out
    assert "torch: not installed" in out
    assert "every answer is right" in out
    assert "iris" in out


@pytest.mark.slow
def test_the_whole_demo() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gantline", "demo", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"iris", "diabetes", "cancer", "iris-azure"} <= {m["model"] for m in found["models"]}
    assert all(m["right"] for m in found["models"])
