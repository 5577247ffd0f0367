"""The commands that make a base: said in one line, and run as they are said."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from gantline.builders.image.bootstrap import advice, commands


def test_a_command_for_each_python_that_a_release_has() -> None:
    assert commands((3, 11))[0] == [
        "debootstrap", "--variant=minbase", "--include=python3.11-minimal,libpython3.11-stdlib,ca-certificates",
        "bookworm", "rootfs", "http://deb.debian.org/debian",
    ]  # fmt: skip
    assert "--components=main,universe" in commands((3, 12))[0]
    assert commands((3, 12))[0][-4:] == ["noble", "rootfs", "http://archive.ubuntu.com/ubuntu", "gutsy"]
    assert commands((3, 99)) == []


def test_one_line_of_advice() -> None:
    line = advice((3, 13))
    assert "sudo debootstrap" in line and "trixie" in line and "sudo tar -C rootfs -cf rootfs.tar ." in line
    assert "debootstrap" not in advice((3, 99)) and "--base" in advice((3, 99))


@pytest.mark.container
@pytest.mark.slow
def test_the_commands_make_a_base(base_tar: Path) -> None:
    with tarfile.open(base_tar) as tar:
        names = {m.name.removeprefix("./") for m in tar}
    assert {"usr/bin/python3.11", "usr/lib/python3.11/asyncio/__init__.py", "etc/os-release"} <= names
