"""What is collected, and where."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gantline.accelerators.script import shim_monitoring
from gantline.accelerators.script.shim_monitoring import Collector, ModelDataCollector


def rows(root: Path) -> list[list[str]]:
    (path,) = root.rglob("*.csv")
    with path.open(newline="") as f:
        return list(csv.reader(f))


def test_rows_are_appended_under_azures_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_MODEL_DATA", str(tmp_path))
    collector = ModelDataCollector("iris", designation="inputs", feature_names=["a", "b"])
    collector.collect(np.array([[1, 2], [3, 4]]), "id")
    collector.collect([5, 6])
    assert rows(tmp_path) == [["correlation_id", "a", "b"], ["id", "1", "2"], ["id", "3", "4"], ["", "5"], ["", "6"]]
    (path,) = tmp_path.rglob("*.csv")
    assert path.relative_to(tmp_path).parts[:5] == ("workspace", "service", "iris", "1", "inputs")


def test_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_MODEL_DATA", str(tmp_path))
    context = object()
    assert Collector("model_inputs").collect(pd.DataFrame({"a": [1], "b": ["x"]}), context) is context
    assert rows(tmp_path) == [["correlation_id", "a", "b"], ["", "1", "x"]]


def test_without_a_directory_it_says_so_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("GANTLINE_MODEL_DATA", raising=False)
    shim_monitoring._say_once.cache_clear()
    for _ in range(3):
        ModelDataCollector("m", "inputs").collect([1])
    assert len(caplog.messages) == 1 and "GANTLINE_MODEL_DATA" in caplog.text


def test_a_failure_never_reaches_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("GANTLINE_MODEL_DATA", str(tmp_path / "file"))
    ModelDataCollector("m", "inputs").collect([1])
    seen: list[Exception] = []
    Collector("x", on_error=seen.append).collect(3)
    assert len(seen) == 1
