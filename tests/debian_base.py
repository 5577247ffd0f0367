"""A base as the documents say to make one: Debian with its Python by debootstrap, once per machine (30 to 100 s)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from gantline.builders.image.bootstrap import commands

from gantline.file_lock import only_one

VARIABLE = "GANTLINE_TEST_BASE"  # the tar of one that is there already


def debian_base(python: tuple[int, int] = (3, 11)) -> Path:
    """The tar of a root file system with that Python. Skips, saying why, where none can be made."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gantline-tests"
    made = folder / f"base-python{python[0]}.{python[1]}.tar"
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / f"{made.name}.lock"):
        if not made.exists():
            _make(python, made)
    return made


def _make(python: tuple[int, int], target: Path) -> None:
    if not shutil.which("debootstrap"):
        pytest.skip(f"a base is made by debootstrap, which is not installed; or set {VARIABLE} to the tar of one")
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip(f"debootstrap needs root; set {VARIABLE} to the tar of a base that is there already")
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        tar = Path(work, "base.tar")
        for words in commands(python, f"{work}/root", str(tar)):
            done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        tar.rename(target)
