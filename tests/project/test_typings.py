"""typings/gantline shows type checkers and editors the tree as it is imported: links that match the sources."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest


def expected(root: Path) -> dict[str, str]:
    """Link name -> what it points to."""
    links = {name: f"../../{name}" for name in ("accelerators", "builders", "serve")}
    for path in (root / "gantline").iterdir():
        is_package = (path / "__init__.py").is_file()
        if path.suffix == ".py" or path.name == "py.typed" or is_package:
            links[path.name] = f"../../gantline/{path.name}"
    return links


def test_links_match_the_sources(root: Path) -> None:
    typings = root / "typings" / "gantline"
    if not (typings / "__init__.py").is_symlink():
        pytest.skip("a checkout without symbolic links")
    actual = {p.name: str(p.readlink()) for p in typings.iterdir() if p.is_symlink()}
    assert actual == expected(root)
    assert [p.name for p in typings.iterdir() if not p.is_symlink() and p.name != "__pycache__"] == []


def test_stubs_that_somebody_has_installed_do_not_change_what_mypy_says(root: Path) -> None:
    """types-docker of one version knows a parameter that another does not."""
    overrides = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["overrides"]
    heeded = [one["module"] for one in overrides if not one.get("follow_imports_for_stubs")]
    assert heeded == [["pandas.*"]]  # of which the stubs are pinned, for development
