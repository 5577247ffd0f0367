"""docs/scikit-learn.md says what becomes of each estimator today."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_page_is_up_to_date(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every estimator and setting, fitted, converted and compared: one that changes sides shows as a changed line."""
    monkeypatch.syspath_prepend(root / "scripts")
    found = import_module("sklearn_page").page().splitlines()
    assert (root / "docs" / "scikit-learn.md").read_text("utf-8").splitlines() == found, "type `make docs`"


def test_every_estimator_is_on_the_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(root / "scripts")
    text = (root / "docs" / "scikit-learn.md").read_text("utf-8")
    names = import_module("sklearn_page").names()
    assert len(names) > 190 and [n for n in names if f"\n| {n} | " not in text] == []
