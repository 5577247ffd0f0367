"""pip's own settings, read as pip reads them: the judge is `pip config list`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gantline.builders.lock import pip_settings


def test_as_pip_itself_reads_them(tmp_path: Path) -> None:
    """Files for everybody, of the user and of variables, two sections, and what wins."""
    home, everybody = tmp_path / "home", tmp_path / "xdg"
    for path, text in {
        everybody
        / "pip"
        / "pip.conf": "[global]\nindex-url = https://all.invalid\ntimeout = 1\n[install]\npre = true\n",
        home / ".pip" / "pip.conf": "[global]\ntimeout = 2\nproxy = old\n",
        home / ".config" / "pip" / "pip.conf": "[global]\nproxy = new\nextra_index_url = https://user.invalid\n",
    }.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    environ |= {"HOME": str(home), "XDG_CONFIG_DIRS": str(everybody), "PIP_FIND_LINKS": "/w"}
    environ.pop("XDG_CONFIG_HOME", None)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], env=environ, capture_output=True, text=True, check=True
    )
    theirs = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        theirs[name] = value.strip("'")
    found = pip_settings.read(environ)
    assert found.text("proxy") == theirs["global.proxy"] == "new"
    assert found.text("timeout") == theirs["global.timeout"] == "2"
    assert found.text("index-url") == theirs["global.index-url"] == "https://all.invalid"
    assert found.list("extra-index-url") == (theirs["global.extra-index-url"],)
    assert found.truth("pre") and theirs["install.pre"] == "true"
    assert found.text("find-links") == theirs[":env:.find-links"] == "/w"


def test_a_named_file_takes_the_place_of_the_users(tmp_path: Path) -> None:
    user, own = tmp_path / "pip" / "pip.conf", tmp_path / "own.conf"
    user.parent.mkdir()
    user.write_text("[global]\nindex-url = https://user.invalid\nproxy = p\n")
    own.write_text("[global]\nproxy = q\n[install]\nproxy = r\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    assert pip_settings.read(environ).text("index-url") == "https://user.invalid"
    chosen = pip_settings.read(environ | {"PIP_CONFIG_FILE": str(own)})
    assert chosen.text("index-url") == "" and chosen.text("proxy") == "r"
    assert pip_settings.read(environ | {"PIP_CONFIG_FILE": os.devnull}).text("proxy") == ""


@pytest.mark.parametrize(("text", "truth"), [("1", True), ("Yes", True), ("on", True), ("0", False), ("", False)])
def test_truth(text: str, truth: bool) -> None:
    assert pip_settings.truth(text) is truth
    assert pip_settings.PipSettings({"timeout": "soon"}).number("timeout", 15.0) == 15.0
