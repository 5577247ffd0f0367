"""Makefile, lock and CI agree with pyproject.toml and with each other."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

# resolved by the environments that compare with them, not by ours
COMMANDS = ("install", "demo", "test", "check", "fix", "bench", "docs")


@pytest.fixture(scope="module")
def lock(root: Path) -> dict[str, Version]:
    """Name -> the one version."""
    lines = [ln for ln in (root / "requirements.lock").read_text().splitlines() if ln and not ln.startswith("#")]
    pins = [re.fullmatch(r"([a-z0-9-]+)==(\S+)", line) for line in lines]
    assert all(pins), [line for line, pin in zip(lines, pins, strict=True) if not pin]
    assert lines == sorted(lines)
    return {pin[1]: Version(pin[2]) for pin in pins if pin}


def requirements(pyproject: dict[str, Any]) -> list[Requirement]:
    """Everything that pyproject asks for, extras included."""
    project = pyproject["project"]
    texts = [*project["dependencies"], *(t for extra in project["optional-dependencies"].values() for t in extra)]
    return [Requirement(t) for t in texts if not t.startswith("gantline")]


def test_the_lock_answers_every_requirement(pyproject: dict[str, Any], lock: dict[str, Version]) -> None:
    wrong = [
        f"{r} (locked: {lock.get(canonicalize_name(r.name))})"
        for r in requirements(pyproject)
        if canonicalize_name(r.name) not in lock or lock[canonicalize_name(r.name)] not in r.specifier
    ]
    assert wrong == [], "type `make lock`"


def test_dev_holds_every_extra_but_torch(pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    (own,) = (Requirement(t) for t in extras["dev"] if t.startswith("gantline"))
    assert own.extras == set(extras) - {"dev", "torch"}


def test_the_makefile_has_the_commands(root: Path) -> None:
    text = (root / "Makefile").read_text()
    targets = dict(re.findall(r"^([a-z-]+):(.*)$", text, re.MULTILINE))
    for command in COMMANDS:
        assert "## " in targets[command]
        assert command == "install" or targets[command].split("##")[0].strip() == "install"


@pytest.mark.parametrize("command", COMMANDS)
def test_make_knows_what_to_do(root: Path, command: str) -> None:
    """A dry run: each command's recipe is there and its files exist."""
    done = subprocess.run(["make", "-n", command], cwd=root, capture_output=True, text=True, check=True)
    scripts = re.findall(r"python ((?:scripts|benchmarks)/\S+\.py)", done.stdout)
    assert [s for s in scripts if not (root / s).is_file()] == []


def test_ci_types_the_same_commands(root: Path) -> None:
    run = root / ".ci" / "run"
    assert os.access(run, os.X_OK)
    text = run.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    subprocess.run(["bash", "-n", str(run)], check=True)
    typed = re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
    assert typed == ["install", "check", "test", "test-slow", "demo"]
