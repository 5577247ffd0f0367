"""Documents: links lead somewhere, paths that are named exist, and each dependency has its reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement

LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
# `serve/core.py`, `docs/`, `tests/project/test_wheel.py`
NAMED = re.compile(r"`((?:[\w.-]+/)+(?:[\w-]+\.[a-z]+)?)`")
TOP = ("accelerators", "benchmarks", "builders", "docs", "gantline", "proto", "scripts", "serve", "tests", "typings")


@pytest.fixture(scope="module")
def documents(root: Path, tracked: list[Path]) -> dict[Path, str]:
    return {p: (root / p).read_text("utf-8") for p in tracked if p.suffix == ".md"}


def anchor(heading: str) -> str:
    """The fragment that a heading gets on a code host."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def test_links_lead_somewhere(root: Path, documents: dict[Path, str]) -> None:
    dead = []
    for path, text in documents.items():
        for match in LINK.finditer(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            target, _, fragment = (match[1] or match[2]).partition("#")
            if target.startswith(("http:", "https:", "mailto:")):
                continue
            file = (root / path).parent / target if target else root / path
            if not file.exists():
                dead.append(f"{path}: {target}")
            elif fragment and file.suffix == ".md":
                headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
                if fragment not in map(anchor, headings):
                    dead.append(f"{path}: {target}#{fragment}")
    assert dead == []


def test_paths_that_are_named_exist(root: Path, documents: dict[Path, str]) -> None:
    missing = [
        f"{path}: {name}"
        for path, text in documents.items()
        if path.name != "CHANGELOG.md"
        for name in NAMED.findall(text)
        if name.split("/")[0] in TOP and not (root / name).exists()
    ]
    assert missing == []


def test_each_dependency_has_its_reason(root: Path, pyproject: dict[str, Any]) -> None:
    """One line each in ARCHITECTURE.md: "- `numpy`: why"."""
    project = pyproject["project"]
    texts = [*project["dependencies"], *(t for e in project["optional-dependencies"].values() for t in e)]
    names = {Requirement(t).name for t in texts} - {"gantline"}
    lines = [line for line in (root / "ARCHITECTURE.md").read_text().splitlines() if line.startswith("- `")]
    told = {name for line in lines for name in re.findall(r"`([^`]+)`", line.partition(":")[0])}
    assert sorted(names - told) == []


def test_every_folder_is_on_the_map(root: Path, sources: list[Path]) -> None:
    text = (root / "ARCHITECTURE.md").read_text()
    folders = {p.parent.as_posix() + "/" for p in sources}
    assert sorted(f for f in folders if f"`{f}`" not in text) == []


def test_pictures_are_well_formed(root: Path, tracked: list[Path]) -> None:
    pictures = [p for p in tracked if p.suffix == ".svg"]
    assert pictures
    for path in pictures:
        tree = ElementTree.parse(root / path).getroot()
        assert tree.get("viewBox")
        assert tree.find("{http://www.w3.org/2000/svg}title") is not None, f"{path}: no title for those who listen"


def test_the_changelog_is_of_this_version(root: Path, pyproject: dict[str, Any]) -> None:
    from gantline import __version__

    assert pyproject["project"]["version"] == __version__
    headings = re.findall(r"^## (\S+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in ("Unreleased", __version__)
