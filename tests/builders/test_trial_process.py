"""A child that crashes, stays, or says nothing is told of in one line; its word is passed on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gantline.builders import trial_process
from gantline.builders.trial_process import tried

from gantline.errors import BadArtefact


def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """A real process in the interpreter's place."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return tmp_path / "m.bin"


def test_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    path = child(tmp_path, monkeypatch, "echo noise; echo '{\"said\": \"'$4 $5 $6'\"}'")
    found = tried("booster_trial", path, ("xgboost",), lambda: done.append(1))
    assert found == {"said": f"gantline.builders.booster_trial {path} xgboost"} and done == [1]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("kill -SEGV $$", r"m\.bin: damaged: loading it crashed a trial process \(signal 11\)"),
        ("echo no memory >&2; exit 1", r"m\.bin: a trial process could not load it: no memory"),
        ("exec sleep 60", r"m\.bin: loading it took more than 0 s in a trial process"),
    ],
)
def test_what_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str) -> None:
    path = child(tmp_path, monkeypatch, script)
    if "sleep" in script:
        monkeypatch.setattr(trial_process, "SECONDS", 0.1)
    with pytest.raises(BadArtefact, match=told):
        tried("skops_trial", path, (), lambda: None)


def test_the_child_ends_with_its_parents_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ModuleNotFoundError("skops")

    path = child(tmp_path, monkeypatch, "exec sleep 60")
    with pytest.raises(ModuleNotFoundError):  # and not after a minute
        tried("skops_trial", path, (), fails)
