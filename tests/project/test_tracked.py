"""What is committed: no machine's paths, no unfinished notes, clean text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = {".cfg", ".json", ".lock", ".md", ".proto", ".py", ".pyi", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml", ""}
# put together here, so that this file does not hold what it looks for
UNFINISHED = re.compile("|".join(rf"\b{a}{b}\b" for a, b in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK"))))
# what people's own folders look like, in documents and in recorded results
HOMES = re.compile(r"/(?:home|Users)/[a-z]\w*/|/root/")


@pytest.fixture(scope="module")
def texts(root: Path, tracked: list[Path]) -> dict[Path, str]:
    """Every text file of the project, without the licence, which is not ours to edit."""
    ours = [p for p in tracked if p.suffix in TEXT and p.name != "LICENSE"]
    return {p: (root / p).read_text("utf-8") for p in ours}


def places(texts: dict[Path, str], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{n}: {line.strip()[:80]}"
        for path, text in texts.items()
        for n, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_path_of_the_machine_it_was_written_on(root: Path, texts: dict[Path, str]) -> None:
    """The folder above the checkout is a name that no other machine has to have."""
    above = str(root.parent).rstrip("/") + "/"
    if above.count("/") < 2:
        pytest.skip("checked out at the file system's root")
    documents = {p: t for p, t in texts.items() if p.suffix in (".md", ".json", ".svg", ".lock", ".toml")}
    assert places(texts, re.compile(r"(?<![\w.])" + re.escape(above))) == []
    assert places(documents, HOMES) == []


def test_nothing_is_left_to_be_done(texts: dict[Path, str]) -> None:
    assert places(texts, UNFINISHED) == []


def test_clean_text(root: Path, texts: dict[Path, str]) -> None:
    assert [str(p) for p, t in texts.items() if t and not t.endswith("\n") and p.suffix != ".json"] == []
    assert places({p: t for p, t in texts.items() if p.suffix != ".md"}, re.compile(r"[ \t]+$")) == []
    assert [str(p) for p in texts if b"\r\n" in (root / p).read_bytes()] == []


def test_nothing_big(root: Path, tracked: list[Path]) -> None:
    assert {str(p): (root / p).stat().st_size for p in tracked if (root / p).stat().st_size > 512 * 1024} == {}
