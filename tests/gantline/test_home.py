"""Where Gantline keeps things: a variable, or the user's own directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantline.home import home


def test_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "not" / "there"))
    assert home() == tmp_path / "not" / "there"
    assert not home().exists(), "to ask makes nothing"


@pytest.mark.parametrize("value", [None, ""])
def test_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GANTLINE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("GANTLINE_HOME", value)
    assert home() == tmp_path / ".gantline"
