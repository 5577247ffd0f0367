"""The machine that a lock is for, in uv's and in wheels' words."""

from __future__ import annotations

import platform
import sys

import pytest
from gantline.builders.lock.target import Target
from packaging.tags import sys_tags

from gantline.errors import Unsupported
from gantline.oci.platforms import Platform


def target(text: str = "linux/amd64", python: tuple[int, int] = (3, 11), glibc: tuple[int, int] = (2, 36)) -> Target:
    return Target(Platform.parse(text), python, glibc)


@pytest.mark.parametrize(
    ("glibc", "level"), [((2, 17), 17), ((2, 27), 17), ((2, 30), 28), ((2, 36), 36), ((2, 41), 40), ((3, 0), 40)]
)
def test_a_level_that_uv_has_no_name_for_is_the_one_below(glibc: tuple[int, int], level: int) -> None:
    assert target("linux/arm64/v8", glibc=glibc).triple == f"aarch64-manylinux_2_{level}"


def test_markers_and_names() -> None:
    one = target("linux/arm64", (3, 12))
    assert str(one) == "linux/arm64, Python 3.12, glibc 2.36"
    assert "platform_machine == 'aarch64'" in one.marker and "python_version == '3.12'" in one.marker


@pytest.mark.parametrize("text", ["linux/386", "windows/amd64", "linux/riscv64"])
def test_machines_without_wheels(text: str) -> None:
    with pytest.raises(Unsupported, match="locks and images are made for linux/amd64, linux/arm64"):
        target(text)


@pytest.mark.parametrize(("glibc", "why"), [((0, 0), "musl"), ((2, 12), "glibc 2.12")])
def test_bases_without_a_glibc_that_wheels_are_made_for(glibc: tuple[int, int], why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        target(glibc=glibc)


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="compares with this machine")
def test_the_order_is_that_of_this_machine() -> None:
    """For a target that is this machine, `packaging` says the same of it, tag by tag."""
    here = Platform.of_this_machine()
    major, minor = platform.libc_ver()[1].split(".")[:2]
    own = Target(here, sys.version_info[:2], (int(major), int(minor)))
    theirs = [str(tag) for tag in sys_tags()]
    assert list(own.ranks) == theirs
