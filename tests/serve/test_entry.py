"""An entry is a value: what was found, or why it cannot be served."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from gantline.serve.entry import Entry

from gantline.packages import Package


def test_found_and_not(zoo: Path) -> None:
    good = Entry("double", "1", Package.bare(zoo / "double.onnx", "double"))
    bad = Entry("x", "2", None, problem="x: empty")
    assert good.package is not None and good.problem == "" and bad.package is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        good.name = "other"  # type: ignore[misc]
