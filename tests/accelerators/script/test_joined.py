"""Finding a keeper, or starting one: by whoever comes first, and only one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gantline.accelerators.script.joined import join, locked
from gantline.accelerators.script.supervise import Launch

from gantline.errors import ScriptFailed


def test_a_lock_keeps_others_out(tmp_path: Path) -> None:
    path = tmp_path / "script"
    with locked(path), pytest.raises(BlockingIOError), locked(path, wait=False):
        pass
    with locked(path, wait=False):
        pass


def test_a_folder_that_is_gone_is_an_error_of_one_line(tmp_path: Path) -> None:
    launch = Launch([sys.executable], {"parent": 1}, {}, str(tmp_path), "m")
    with pytest.raises(ScriptFailed, match="host that workers share cannot be reached"):
        join(tmp_path / "nowhere", launch)


def test_a_keeper_that_is_told_too_little_is_gone_before_it_says_anything(tmp_path: Path) -> None:
    launch = Launch([sys.executable], {"parent": 1}, {}, str(tmp_path), "m")
    link = join(tmp_path, launch)
    try:
        assert not link.own and link.pid is None
        output = link.listen("m")
        while link.ended() is None:
            output.pump()
            link.wait(0.05)
        assert "gone" in link.wait_for_end()
    finally:
        link.close()


def test_the_same_launch_is_the_same_host_whoever_asks(tmp_path: Path) -> None:
    one = Launch(["python"], {"parent": 1, "a": 2}, {"X": "y"}, "/", "m", "sha256:1", tmp_path)
    assert Launch.from_json(one.to_json()).to_json() == one.to_json()
    assert "shared" not in one.to_json()
