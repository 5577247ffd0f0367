"""ELF headers: real libraries, all kinds of processors, and files that lie."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from gantline.builders.image.elf import Elf, read_elf

from gantline.errors import BadArtefact

from .tiny_elf import MACHINES, tiny_elf


def read(data: bytes) -> Elf:
    return read_elf(io.BytesIO(data), "x.so")


@pytest.mark.parametrize("architecture", MACHINES)
def test_every_processor(architecture: str) -> None:
    made = tiny_elf(
        architecture, ("liba.so.1", "libc.so.6"), "libx.so.2", "$ORIGIN/../lib:/opt/lib", "/rpath", "/lib/ld.so",
        ("GLIBC_2.17", "GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_PRIVATE"),
    )  # fmt: skip
    found = read(made)
    assert (found.architecture, found.loadable, found.needed) == (architecture, True, ("liba.so.1", "libc.so.6"))
    assert (found.soname, found.runpath, found.rpath) == ("libx.so.2", ("$ORIGIN/../lib", "/opt/lib"), ("/rpath",))
    assert (found.interpreter, found.glibc) == ("/lib/ld.so", (2, 34))
    assert Elf.from_json(found.to_json()) == found


def test_what_is_not_loaded() -> None:
    assert not read(tiny_elf(kind=1)).loadable, "an object file"
    assert not read(tiny_elf(kind=4)).loadable, "a core"
    graphics = bytearray(tiny_elf())
    graphics[18:20] = (190).to_bytes(2, "little")
    assert read(bytes(graphics)).architecture == "", "CUDA"


@pytest.mark.skipif(sys.platform != "linux", reason="wheels elsewhere hold no ELF files")
def test_a_real_wheel_as_readelf_reads_it() -> None:
    libraries = sorted(Path(numpy.__file__).parent.parent.glob("numpy*/**/*.so*"))
    assert len(libraries) > 10
    for path in libraries:
        with path.open("rb") as f:
            found = read_elf(f, str(path))
        assert found.architecture and found.glibc < (2, 50), path
        if shutil.which("readelf"):
            shown = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True).stdout
            lines = [line for line in shown.splitlines() if "[" in line]
            named = [line.partition("[")[2].rstrip("]") for line in lines if "(NEEDED)" in line]
            assert list(found.needed) == named
            paths = [line.partition("[")[2].rstrip("]") for line in lines if "(RUNPATH)" in line or "(RPATH)" in line]
            assert ":".join(found.runpath or found.rpath) == "".join(paths)


def test_cut_off_anywhere() -> None:
    whole = tiny_elf(needed=("liba.so",), versions=("GLIBC_2.17",), interpreter="/lib/ld.so")
    for length in range(len(whole) - 16):  # the last entry only says that it is the last
        with pytest.raises(BadArtefact, match=r"x\.so: not an ELF file"):
            read(whole[:length])


def test_damage_is_an_error_or_nothing() -> None:
    whole = tiny_elf(needed=("liba.so", "libb.so"), soname="libx.so", versions=("GLIBC_2.17",), runpath="$ORIGIN")
    dice = random.Random(5)
    errors = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        try:
            found = read(bytes(data))
        except BadArtefact:
            errors += 1
        else:
            assert len(found.needed) <= 8192
    assert 300 < errors < 3000


def test_claims_without_end() -> None:
    data = bytearray(tiny_elf(needed=("liba.so",)))
    data[56:58] = b"\xff\xff"  # segments
    with pytest.raises(BadArtefact, match="65535 segments"):
        read(bytes(data))
    ring = bytearray(tiny_elf(versions=("GLIBC_2.17",)))
    at = ring.index((16).to_bytes(4, "little") + bytes(4), 120)
    ring[at + 4 : at + 8] = (1 << 31).to_bytes(4, "little")  # the next record, far outside
    assert read(bytes(ring)).glibc == (2, 17), "one is all that was announced"
