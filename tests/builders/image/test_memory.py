"""What was found out before."""

from __future__ import annotations

from pathlib import Path

from gantline.builders.image.memory import Memory


def test_kept_by_key_and_version(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "deep" / "memory", 1)
    assert memory.recall(["a", 1]) is None
    memory.keep(["a", 1], {"x": [1, None, "ü"]})
    assert memory.recall(["a", 1]) == {"x": [1, None, "ü"]}
    assert memory.recall(["a", 2]) is None and Memory(memory.folder, 2).recall(["a", 1]) is None
    assert [p.suffix for p in memory.folder.iterdir()] == [".json"], "nothing else is left"


def test_damage_is_forgotten(tmp_path: Path) -> None:
    memory = Memory(tmp_path, 1)
    memory.keep("a", 1)
    next(tmp_path.iterdir()).write_bytes(b'{"cut')
    assert memory.recall("a") is None


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Memory(tmp_path / "file", 1).keep("a", 1)
    assert Memory(tmp_path / "file", 1).recall("a") is None
