"""What the trial of a booster's file says where its framework is missing. (Where it is not: test_from_lightgbm.)"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gantline.builders import boosters, from_lightgbm
from gantline.builders.booster_trial import check, trial
from gantline.builders.source import Source

from gantline.errors import Unsupported


def test_without_the_framework_its_pip_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(boosters.FRAMEWORKS, "nowhere_to_be_had", "Nobody's")
    path = tmp_path / "m.bin"
    path.write_text("tree\n")
    with pytest.raises(Unsupported, match="reading it needs Nobody's: pip install nowhere_to_be_had"):
        check("nowhere_to_be_had", path)


def test_a_file_that_is_not_there_is_left_to_its_reader(tmp_path: Path) -> None:
    check("xgboost", tmp_path / "gone.ubj")


def test_what_python_meets_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever kind: the framework's own code and ours read a damaged file."""

    def fails(path: Path) -> None:
        raise KeyError(f"num_class\n{path.name}")

    monkeypatch.setattr(from_lightgbm, "read", fails)
    found = trial(tmp_path / "m.txt", "lightgbm")
    assert found == {"error": f"{tmp_path / 'm.txt'}: damaged: KeyError: 'num_class\\nm.txt'"}
    assert from_lightgbm.recognises(Source("m", path=tmp_path / "m.txt")) is False and json.dumps(found)
