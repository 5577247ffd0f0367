"""What a layer can hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.image.entry import Entry, of_bytes, of_file, of_tree

from gantline.errors import BadArtefact


@pytest.mark.parametrize("path", ["", "/etc", "a/../b", "a//b", "./a", "a/.", "a\\b", "a/"])
def test_paths_that_cannot_be(path: str) -> None:
    with pytest.raises(BadArtefact, match="cannot be in a layer"):
        Entry(path)


def test_bytes_and_files(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    for entry in (of_bytes("a/b", b"abc"), of_file("a/b", tmp_path / "x")):
        assert entry.size == 3 and entry.open is not None
        for _ in range(2):
            with entry.open() as f:
                assert f.read() == b"abc"


def test_a_tree_without_bytecode(tmp_path: Path) -> None:
    for name in ("b/c.py", "a.py", "b/__pycache__/c.cpython-311.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [e.path for e in of_tree("opt", tmp_path)] == ["opt/a.py", "opt/b/c.py"]


@pytest.mark.parametrize("path", ["srv/code/.wh.secret", "srv/.wh.code/a.py", "srv/code/.wh..wh..opq"])
def test_a_name_that_takes_out_another_one_is_refused(path: str) -> None:
    with pytest.raises(BadArtefact) as told:
        Entry(path)
    assert path in str(told.value) and "rename it" in str(told.value) and "\n" not in str(told.value)
