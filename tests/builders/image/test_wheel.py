"""Wheels taken apart."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from gantline.builders.image.entry import Entry
from gantline.builders.image.wheel import Wheel

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact

from .conftest import MakeWheel

HERE = (sys.version_info[0], sys.version_info[1])


def text(entry: Entry) -> bytes:
    assert entry.open is not None
    with entry.open() as f:
        return f.read()


def test_what_the_name_says(make_wheel: MakeWheel) -> None:
    path = make_wheel("Some.Thing", {}, "1.2.post3", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
    wheel = Wheel.open(path)
    assert (wheel.distribution, wheel.version, wheel.digest) == ("some-thing", "1.2.post3", sha256_file(path))
    with pytest.raises(BadArtefact, match="not named as a wheel is"):
        Wheel.open(path.with_name("some.zip"))


def test_files_at_their_places(make_wheel: MakeWheel) -> None:
    path = make_wheel("x", {
        "x/__init__.py": b"A = 1\n",
        "x/data.bin": b"\x00\x01",
        "x/tests/test_a.py": b"",
        "x-1.0.data/purelib/y.py": b"B = 2\n",
        "x-1.0.data/platlib/z.so": b"\x7fELF",
        "x-1.0.data/scripts/tool": b"#!python\n",
        "x-1.0.data/headers/x.h": b"",
    })  # fmt: skip
    found = {e.path: e for e in Wheel.open(path).entries("site", HERE)}
    tag = f"cpython-{HERE[0]}{HERE[1]}.pyc"
    assert sorted(found) == [
        "site/__pycache__/y." + tag, "site/x-1.0.dist-info/METADATA", "site/x-1.0.dist-info/RECORD",
        "site/x/__init__.py", "site/x/__pycache__/__init__." + tag, "site/x/data.bin", "site/y.py", "site/z.so",
    ]  # fmt: skip
    assert text(found["site/x/data.bin"]) == b"\x00\x01" and text(found["site/y.py"]) == b"B = 2\n"
    assert all(len(text(e)) == e.size for e in found.values())


def test_data_goes_to_the_root_of_the_environment(make_wheel: MakeWheel) -> None:
    """As `mkl` has its libraries: in `lib` of the environment, and not among modules."""
    files = {"x.py": b"", "x-1.0.data/data/lib/libx.so": b"x", "x-1.0.data/data/share/x/a.py": b""}
    wheel = Wheel.open(make_wheel("x", files))
    found = {e.path for e in wheel.entries("opt/env/lib/python3.11/site-packages", HERE)}
    assert {"opt/env/lib/libx.so", "opt/env/share/x/a.py"} <= found
    assert not [path for path in found if path.startswith("opt/env/share") and path.endswith(".pyc")]


def test_no_bytecode_for_another_python(make_wheel: MakeWheel) -> None:
    wheel = Wheel.open(make_wheel("x", {"x.py": b"A = 1\n"}))
    other = (HERE[0], HERE[1] + 1)
    assert not [e.path for e in wheel.entries("site", other) if e.path.endswith(".pyc")]
    assert wheel.key("site", other) != wheel.key("site", HERE)


def test_programs_keep_their_bit(tmp_path: Path) -> None:
    path = tmp_path / "x-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x/bin/tool")
        info.external_attr = 0o100775 << 16
        archive.writestr(info, b"tool")
        archive.writestr("x/plain", b"plain")
    assert [e.mode for e in Wheel.open(path).entries("site", HERE)] == [0o755, 0o644]


@pytest.mark.parametrize(
    "member",
    [
        "../evil.py",
        "../../../bin/python",
        "/etc/passwd",
        "x/../../evil",
        "x-1.0.data/purelib/../../evil",
        "x-1.0.data/data/../../evil",
    ],
)
def test_a_wheel_does_not_leave_its_place(make_wheel: MakeWheel, member: str) -> None:
    """Of these, `../../../bin/python` would have been placed as what a wheel brings for its environment's root."""
    path = make_wheel("x", {member: b""})
    with pytest.raises(BadArtefact) as told:
        Wheel.open(path).entries("opt/env/lib/python3.11/site-packages", HERE)
    assert str(path) in str(told.value) and repr(member) in str(told.value)


def test_what_is_no_wheel(tmp_path: Path) -> None:
    path = tmp_path / "x-1.0-py3-none-any.whl"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BadArtefact, match="not a wheel that can be read"):
        Wheel.open(path).entries("site", HERE)
