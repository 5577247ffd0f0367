"""Where an engine is looked for, and what is said where there is none; with one: `test_container`."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.engine.engine import find, needed, places

from gantline.errors import Unreachable, UsageError


def test_docker_host_alone_counts_where_it_is_set(tmp_path: Path) -> None:
    assert places({"DOCKER_HOST": "tcp://box:2375"}, tmp_path, None) == ["tcp://box:2375"]
    found = places({}, tmp_path, Path("/run/user/7"))
    assert found[0] == "unix:///var/run/docker.sock" and found[-1] == "unix:///run/podman/podman.sock"
    assert "unix:///run/user/7/podman/podman.sock" in found


def test_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^engine 'box': expected unix:///"):
        find("box")
    with pytest.raises(Unreachable, match=r"^engine unix://.*: there is no such socket; start Docker, or `podman"):
        find(f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"^engine tcp://127.0.0.1:1: Connection refused; start Docker"):
        needed()
