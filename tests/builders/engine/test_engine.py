"""Where an engine is looked for, and what is said where there is none; with one: `test_container`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gantline.builders.engine.engine import find, needed, places

from gantline.errors import Unreachable, UsageError


def test_docker_host_alone_counts_where_it_is_set(tmp_path: Path) -> None:
    assert places({"DOCKER_HOST": "tcp://box:2375"}, tmp_path, None) == ["tcp://box:2375"]
    found = places({}, tmp_path, Path("/run/user/7"))
    assert found[0] == "unix:///var/run/docker.sock" and found[-1] == "unix:///run/podman/podman.sock"
    assert "unix:///run/user/7/podman/podman.sock" in found


def test_on_windows_it_is_a_pipe(tmp_path: Path) -> None:
    assert places({}, tmp_path, None, "win32")[0] == "npipe:////./pipe/docker_engine"
    assert places({"DOCKER_HOST": "tcp://box:2375"}, tmp_path, None, "win32") == ["tcp://box:2375"]


def test_no_module_of_unix_is_needed_to_speak_to_an_engine() -> None:
    """Where images run in Docker's own machine, as on Windows."""
    code = (
        "import sys\n"
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'): sys.modules[name] = None\n"
        "from gantline.builders.engine import container_place, found, process_place, running, start\n"
        "from gantline.builders.deploy import apply\n"
        "from gantline.cli import endpoint, run\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^engine 'box': expected unix:///"):
        find("box")
    with pytest.raises(Unreachable, match=r"^engine unix://.*: there is no such socket; start Docker, or `podman"):
        find(f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"^engine tcp://127.0.0.1:1: Connection refused; start Docker"):
        needed()
