"""Cores, by affinity and by quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gantline.serve.process.cores import cores_each, usable_cores


def here(tmp_path: Path, groups: str, **files: str) -> int:
    """Usable cores where these are the files of control groups; "/" in their names is written as "__"."""
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        file = tmp_path / "root" / name.replace("__", "/").replace("cpu_", "cpu.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return usable_cores(tmp_path / "groups", tmp_path / "root")


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("300000 100000", 3), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8)]
    + [(none, 8) for none in ("99 0", "max 100000", "", "x y")],
)
def test_a_containers_quota(tmp_path: Path, text: str, cores: int) -> None:
    assert here(tmp_path, "0::/\n", cpu_max=text) == cores
    # seen from inside, the path may be the one outside
    assert here(tmp_path, "0::/docker/abc\n", cpu_max=text) == cores


def test_a_services_quota_and_those_around_it(tmp_path: Path) -> None:
    groups = "1:name=systemd:/x\n0::/system.slice/one.service\n"
    max_ = {"system.slice__one.service__cpu_max": "400000 100000", "system.slice__cpu_max": "max 100000"}
    assert here(tmp_path, groups, **max_) == 4
    assert here(tmp_path, groups, **max_ | {"system.slice__cpu_max": "200000 100000"}) == 2


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    groups = "3:cpuset:/a\n2:cpu,cpuacct:/a/b\n0::/\n"
    own = {"cpu,cpuacct__a__b__cpu_cfs_quota_us": "300000", "cpu,cpuacct__a__b__cpu_cfs_period_us": "100000"}
    assert here(tmp_path, groups, **own) == 3
    assert here(tmp_path, groups, **own | {"cpu,cpuacct__a__b__cpu_cfs_quota_us": "-1"}) == 8


def test_without_control_groups(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none", tmp_path) == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores(tmp_path / "none", tmp_path) == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_workers_share_them() -> None:
    cores = usable_cores()
    assert [cores_each(n) for n in (1, cores, 0, 1024)] == [cores, 1, 1, 1]
