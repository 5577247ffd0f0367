"""docs/cli/ says what the commands say."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from gantline.cli import VERBS

if sys.version_info[:2] != (3, 11):
    pytest.skip("the pages are those of Python 3.11's argparse", allow_module_level=True)


def generated(root: Path) -> dict[str, str]:
    """What `make docs` would write."""
    spec = spec_from_file_location("help_pages", root / "scripts" / "help_pages.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


def test_the_pages_are_up_to_date(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # so that what the generator sets is taken back
    monkeypatch.setenv("NO_COLOR", "1")
    folder = root / "docs" / "cli"
    assert {p.name: p.read_text() for p in folder.glob("*.md")} == generated(root), "type `make docs`"


@pytest.mark.parametrize("verb", list(VERBS))
def test_a_page_is_what_the_command_prints(root: Path, verb: str) -> None:
    words = [str(Path(sys.executable).with_name("gantline")), verb, "--help"]
    environ = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
    assert f"```\n{done.stdout}```\n" in (root / "docs" / "cli" / f"{verb}.md").read_text()
