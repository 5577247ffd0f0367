"""Endpoints by records; by an engine's labels: `test_container_place`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.engine.found import everything, record_of
from gantline.builders.engine.record import Deployed, Record, Records

from gantline.errors import Unreachable
from tests.engine import container_engine

Typed = Callable[..., Any]


def test_by_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    record = Record("one", "process", "", "iris", (Deployed("main", "iris:1"),))
    Records.of_user().put(record)
    said: list[str] = []
    assert everything(say=said.append) == [record] and record_of("one") == record
    assert "there is no such socket" in said[0]
    with pytest.raises(Unreachable, match="there is no such socket"):
        everything(f"unix://{tmp_path}/none.sock")
    with pytest.raises(Unreachable, match="there is no such socket"):
        record_of("two")  # it may be there


@pytest.fixture
def typed(home: Path) -> Typed:
    def run(*words: str | Path) -> Any:
        command = [sys.executable, "-m", "gantline", *map(str, words), "--json"]
        own = os.environ | {"GANTLINE_HOME": str(home)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=300)
        return json.loads(done.stdout)

    return run


@pytest.mark.container
def test_one_name_in_two_engines(typed: Typed, tmp_path: Path) -> None:
    """`--engine-url` says which is meant: the other one, and what is on record of it, stay."""
    folders = [tmp_path / "a", tmp_path / "b"]
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir()
            stack.enter_context(container_engine(folder))
        one, other = (f"unix://{folder}/engine.sock" for folder in folders)
        start = ("run", "iris:latest", "--name", "same", "--network", "host", "--port", 0, "--detach", "--engine-url")
        assert typed(*start, other)["state"] == "running"
        typed("endpoint", "delete", "same", "--forget")  # as if another home had started it
        ours = typed(*start, one)
        act = partial(typed, "endpoint")
        assert {each["where"] for each in act("list", "--engine-url", other)} == {one, other}
        theirs = act("show", "same", "--engine-url", other)
        assert theirs["where"] == other and theirs["url"] != ours["url"] and not theirs["details"]
        assert act("show", "same")["url"] == act("show", "same", "--engine-url", one)["url"] == ours["url"]
        (tmp_path / "link").symlink_to(folders[0])
        way = f"unix://{tmp_path}/link/engine.sock"
        assert act("show", "same", "--engine-url", way)["details"], "the same engine by another path"
        assert "not started by this user" in act("update", "same", "--env", "A=1", "--engine-url", other)["error"]
        assert act("delete", "same", "--engine-url", other) == {"deleted": "same"}
        assert act("show", "same")["state"] == "running"
        assert "but elsewhere (engine" in act("show", "same", "--engine-url", other)["error"]
        assert act("delete", "same") == {"deleted": "same"}


@pytest.mark.container
def test_a_container_that_got_the_name_later_is_not_ours(typed: Typed, home: Path, tmp_path: Path) -> None:
    with container_engine(tmp_path) as engine:
        start = ("run", "iris:latest", "--name", "same", "--network", "host", "--port", 0, "--detach", "--engine-url")
        one = typed(*start, f"unix://{tmp_path}/engine.sock")
        file = home / "endpoints" / "same" / "endpoint.json"
        stale = file.read_text()
        engine.containers.get(one["details"]["container"]).remove(force=True)  # behind our back
        typed("endpoint", "delete", "same", "--forget")
        other = typed(*start, f"unix://{tmp_path}/engine.sock")
        theirs = file.read_text()
        file.write_text(stale)  # as it is in the first one's home
        assert typed("endpoint", "show", "same")["state"] == "gone"
        assert "error" in typed("endpoint", "update", "same", "--env", "A=1")
        assert typed("endpoint", "delete", "same") == {"deleted": "same"}
        assert engine.containers.get(other["details"]["container"]).status == "running"
        file.parent.mkdir(parents=True)
        file.write_text(theirs)
        assert typed("endpoint", "delete", "same") == {"deleted": "same"} and engine.containers.list(all=True) == []
