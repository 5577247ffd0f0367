"""Cores, by affinity and by quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gantline.serve.process.cores import cores_each, usable_cores


@pytest.mark.parametrize(
    ("text", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("99 0", 0), ("max 100000", 0), ("", 0), ("x y", 0)]
)
def test_quota(tmp_path: Path, text: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    mine = usable_cores(tmp_path / "none")
    assert 1 <= mine <= (os.cpu_count() or 1)
    assert usable_cores(tmp_path / "cpu.max") == (cores or mine)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores(tmp_path / "none") == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_workers_share_them() -> None:
    cores = usable_cores()
    assert [cores_each(n) for n in (1, cores, 0, 1024)] == [cores, 1, 1, 1]
