"""Files that a configuration names: inside the directory of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.accelerators.triton.named_file import named_file

from gantline.errors import BadArtefact


@pytest.mark.parametrize("name", ["labels.txt", "1/labels.txt", "..labels", "a/..b", "./labels.txt"])
def test_names_inside(tmp_path: Path, name: str) -> None:
    assert named_file(tmp_path, name, "f") == tmp_path / name


@pytest.mark.parametrize("name", ["/etc/passwd", "//etc/passwd", "..", "../x", "a/../x", "a/../../x", "../\n"])
def test_names_that_lead_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadArtefact) as raised:
        named_file(tmp_path, name, "c: label_filename")
    assert raised.value.message == f"c: label_filename {name!r} is outside {tmp_path}; expected a path inside it"
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "a/" + "ü" * 128])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadArtefact, match=r"c: label_filename .* is no file's name") as raised:
        named_file(tmp_path, name, "c: label_filename")
    assert len(raised.value.message) < 150
