"""Fields: types and bounds, told with where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.deploy.fields import Fields

from gantline.errors import UsageError
from gantline.yaml_file import read_yaml


def test_levels() -> None:
    top = Fields({"a": {"b": 3, "1": "x"}, "empty": None}, "file")
    assert top.part("a").whole("b", 0, 0, 9) == 3 and top.part("a").text("1") == "x"
    assert top.part("empty").tree == {} and top.part("absent").tree == {}
    with pytest.raises(UsageError, match="file: a: b: expected a whole number from 0 to 2, found 3"):
        top.part("a").whole("b", 0, 0, 2)
    with pytest.raises(UsageError, match="file: a: unknown setting 'b'"):
        top.part("a", ("c",))
    with pytest.raises(UsageError, match="file: a: expected text"):
        top.text("a")


def test_what_yaml_makes_of_words(tmp_path: Path) -> None:
    """NO is false to it, 0123 is 83 and 1.10 is 1.1."""
    path = tmp_path / "d.yaml"
    path.write_text("own: {PIN: 0123, VERSION: 1.10, AT: 22:30, ON: yes, N: 7, cpu: 0.50}\nkeys: {NO: 1}\n")
    with pytest.raises(UsageError, match="own: to YAML the key True is no text; write it in quotes"):
        Fields(read_yaml(path, careful=True), "file").variables("own")
    path.write_text(path.read_text().replace(" ON:", " ANY:"))
    top = Fields(read_yaml(path, careful=True), "file")
    assert top.variables("own") == {
        "PIN": "0123", "VERSION": "1.10", "AT": "22:30", "ANY": "true", "N": "7", "cpu": "0.50",
    }  # fmt: skip
    assert top.part("own").text("cpu") == "0.50" and top.part("own").whole("N", 0, 0, 9) == 7
