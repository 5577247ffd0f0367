"""`gantline inspect` on a directory of models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gantline.cli import main


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for path, text in {
        "good/1/model.onnx": "x",
        "good/config.pbtxt": "max_batch_size: 4 optimization { graph { level: 1 } } response_cache { enable: true }",
        "broken/config.pbtxt": "max_batch_size",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_for_people(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(repository)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("broken:1") and "config.pbtxt:1" in out[0]
    assert out[1].startswith("good:1") and out[1].endswith("good/1")
    assert [line.split()[-1] for line in out[2:]] == ["optimization.graph", "response_cache"]


def test_for_programs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(repository), "--json"]) == 0
    broken, good = json.loads(capsys.readouterr().out)["models"]
    assert broken["path"] == "" and "config.pbtxt" in broken["problem"]
    assert good["problem"] == "" and good["not_acted_on"] == ["optimization.graph", "response_cache"]


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 3
    assert "holds no models; expected a package" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nope")]) == 3
