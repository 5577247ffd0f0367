"""Fields: types and bounds, told with where they stand."""

from __future__ import annotations

import pytest
from gantline.builders.deploy.fields import Fields

from gantline.errors import UsageError


def test_levels() -> None:
    top = Fields({"a": {"b": 3, 1: "x"}, "empty": None}, "file")
    assert top.part("a").whole("b", 0, 0, 9) == 3 and top.part("a").text("1") == "x"
    assert top.part("empty").tree == {} and top.part("absent").tree == {}
    with pytest.raises(UsageError, match="file: a: b: expected a whole number from 0 to 2, found 3"):
        top.part("a").whole("b", 0, 0, 2)
    with pytest.raises(UsageError, match="file: a: unknown setting 'b'"):
        top.part("a", ("c",))
    with pytest.raises(UsageError, match="file: a: expected text"):
        top.text("a")
