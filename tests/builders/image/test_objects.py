"""The programs and libraries that wheels and other parts bring."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.image.entry import Entry, of_bytes
from gantline.builders.image.memory import Memory
from gantline.builders.image.objects import of_entries, of_wheels
from gantline.builders.image.wheel import Wheel

from gantline.errors import BadArtefact

from .conftest import MakeWheel
from .tiny_elf import tiny_elf


def test_of_a_wheel(make_wheel: MakeWheel, tmp_path: Path) -> None:
    files = {
        "x/_x.so": tiny_elf(needed=("liba.so",)), "x/tests/_t.so": tiny_elf(), "x/text.so": b"INPUT(libx.so)" * 9,
        "x-1.0.data/purelib/y.so": tiny_elf(), "x/short": b"\x7fELF", "x/broken.so": b"\x7fELF" * 30,
    }  # fmt: skip
    wheel = Wheel.open(make_wheel("x", files))
    memory = Memory(tmp_path / "memory", 1)
    found = list(of_wheels([wheel], "site", memory))
    assert [(one.path, one.owner, one.name) for one in found] == [
        ("site/x/_x.so", "x 1.0", "_x.so"), ("site/y.so", "x 1.0", "y.so"),
    ]  # fmt: skip
    wheel.path.unlink()
    assert list(of_wheels([wheel], "site", memory)) == found, "from memory"
    wheel.path.write_bytes(b"no zip")
    with pytest.raises(BadArtefact, match="not a wheel"):
        list(of_wheels([Wheel.open(wheel.path)], "site", memory))


def test_of_entries() -> None:
    entries = [of_bytes("a/b.so", tiny_elf("arm64")), of_bytes("c", b"text" * 50), Entry("d", link="c"), Entry("e")]
    (found,) = of_entries(entries, "the package")
    assert (found.path, found.owner, found.elf.architecture) == ("a/b.so", "the package", "arm64")
