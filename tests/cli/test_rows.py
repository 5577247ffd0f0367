"""The flags that choose columns."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gantline.cli import rows
from gantline.errors import UsageError


def _read(path: Path, *words: str) -> dict[str, list[object]]:
    parser = argparse.ArgumentParser()
    rows.arguments(parser)
    return {name: array.tolist() for name, array in rows.read(path, parser.parse_args(words)).items()}


def test_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,label\n1,2,x\n")
    assert _read(path) == {"a": [1], "b": [2], "label": ["x"]}
    assert _read(path, "--drop", "label") == {"a": [1], "b": [2]}
    assert list(_read(path, "--columns", "b, a")) == ["b", "a"]
    assert _read(path, "--no-header") == {"": [["a", "b", "label"], ["1", "2", "x"]]}
    with pytest.raises(UsageError, match="no column 'z'"):
        _read(path, "--drop", "z")
