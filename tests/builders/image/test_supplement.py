"""What wheels need and a base has not, as a layer; and what is said where it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.image.base import Base, open_base
from gantline.builders.image.build import Wheels
from gantline.builders.image.mirror import KEYRING
from gantline.builders.image.supplement import Supplement, supplement
from gantline.builders.image.tree import FILE, Node, Tree
from gantline.builders.image.wheel import Wheel

from gantline.errors import BadArtefact, NotFound, Unreachable, Unsupported
from gantline.oci.platforms import Platform
from gantline.oci.store import Store

from .conftest import AMD64, MakeWheel
from .tiny_deb import archive, served, tiny_deb
from .tiny_elf import tiny_elf

LIB = "usr/lib/x86_64-linux-gnu"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(KEYRING, "none")
    monkeypatch.setattr("gantline.builders.image.download._PAUSE_S", 0.0)


@pytest.fixture
def debian() -> Base:
    tree = Tree()
    tree.lay([("etc/apt/sources.list", Node(FILE, text="deb http://127.0.0.1:9/debian bookworm main\n"))])
    system = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    return Base("b", AMD64, (), (), "/usr/bin/python3.11", (3, 11), {}, tree, (2, 36), system)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    gomp = tiny_elf(soname="libgomp.so.1", needed=("libdeep.so.1",))
    one = tiny_deb("libgomp1", {f"{LIB}/libgomp.so.1": gomp}, scripts={"postinst": b""})
    deep = tiny_deb("libdeep1", {f"{LIB}/libdeep.so.1": tiny_elf(soname="libdeep.so.1")})
    record = {"Package": "libgomp1", "Version": "1.0-1", "Depends": "libdeep1"}
    archive(tmp_path / "site", {"a.deb": (one, record), "b.deb": (deep, {"Package": "libdeep1", "Version": "1.0-1"})})
    with served(tmp_path / "site") as url:
        yield url


def wheels(make_wheel: MakeWheel, *needed: str) -> Wheels:
    return Wheels((Wheel.open(make_wheel("lightgbm", {"lightgbm/lib.so": tiny_elf(needed=needed)}, "4.7.0")),))


def test_nothing_is_wanted(debian: Base, make_wheel: MakeWheel) -> None:
    assert supplement(debian, wheels(make_wheel)) == Supplement()
    assert supplement(debian, wheels(make_wheel), pinned=()) == Supplement()


def test_a_library_from_the_archive(debian: Base, make_wheel: MakeWheel, mirror: str) -> None:
    found = supplement(debian, wheels(make_wheel, "libgomp.so.1"), mirror=mirror)
    assert [one.name for one in found.debs] == ["libdeep1", "libgomp1"]
    assert found.parts[0].title == "debs libdeep1 1.0-1, libgomp1 1.0-1"
    assert "signature not checked" in found.notes[0] and found.notes[1] == "libgomp1 1.0-1: not run: its postinst"
    again = supplement(debian, wheels(make_wheel, "libgomp.so.1"), pinned=found.debs, offline=True)
    assert again.parts[0].key == found.parts[0].key and again.debs == found.debs


def test_what_was_found_is_taken_again(debian: Base, make_wheel: MakeWheel, mirror: str, tmp_path: Path) -> None:
    asked = wheels(make_wheel, "libgomp.so.1")
    first = supplement(debian, asked, mirror=mirror)
    newer = tiny_deb("libgomp1", {f"{LIB}/libgomp.so.1": tiny_elf(soname="libgomp.so.1")}, "2.0-1")
    archive(tmp_path / "site", {"c.deb": (newer, {"Package": "libgomp1", "Version": "2.0-1"})})
    assert supplement(debian, asked, mirror=mirror, offline=True).debs == first.debs
    assert [one.version for one in supplement(debian, asked, mirror=mirror, anew=True).debs] == ["2.0-1"]
    other = replace(debian, diff_ids=("sha256:" + "0" * 64,))
    assert [one.version for one in supplement(other, asked, mirror=mirror).debs] == ["2.0-1"], "of another base"


def test_for_a_script_apart(debian: Base, make_wheel: MakeWheel, mirror: str) -> None:
    apart = Wheels((), wheels(make_wheel, "libgomp.so.1").runtime)
    assert [one.name for one in supplement(debian, apart, mirror=mirror).debs] == ["libdeep1", "libgomp1"]
    shared = wheels(make_wheel, "libown.so")
    lent = Wheel.open(make_wheel("own", {"libown.so": tiny_elf()}))
    with pytest.raises(NotFound, match=r"lightgbm 4\.7\.0 needs libown\.so"):
        supplement(debian, Wheels((lent,), shared.runtime), mirror=mirror)


def test_by_name(debian: Base, make_wheel: MakeWheel, mirror: str) -> None:
    found = supplement(debian, wheels(make_wheel), apt=("libdeep1",), mirror=mirror)
    assert [one.name for one in found.debs] == ["libdeep1"]
    with pytest.raises(NotFound, match="--apt nothing: no package nothing"):
        supplement(debian, wheels(make_wheel), apt=("nothing",), mirror=mirror)


def test_what_may_be_missing(debian: Base, make_wheel: MakeWheel, mirror: str) -> None:
    asked = wheels(make_wheel, "libgomp.so.1", "libnone.so.7")
    found = supplement(debian, asked, mirror=mirror, allowed=("libnone.so.7",))
    assert [one.name for one in found.debs] == ["libdeep1", "libgomp1"]
    assert (
        "lightgbm 4.7.0 needs libnone.so.7 (lightgbm/lib.so): it is not there, as --allow-missing says" in found.notes
    )
    again = supplement(debian, asked, pinned=found.debs, offline=True, allowed=("libnone.so.7",))
    assert again.parts[0].key == found.parts[0].key
    none = supplement(debian, wheels(make_wheel), allowed=("libz.so.1",))
    assert none.debs == () and none.notes == ("--allow-missing libz.so.1: nothing lacks it",)


def test_a_lock_that_is_not_enough(debian: Base, make_wheel: MakeWheel, mirror: str) -> None:
    debs = supplement(debian, wheels(make_wheel, "libdeep.so.1"), mirror=mirror).debs
    with pytest.raises(BadArtefact, match=r"lightgbm 4\.7\.0 needs libgomp\.so\.1 \(lightgbm/lib\.so\), .*lock again"):
        supplement(debian, wheels(make_wheel, "libgomp.so.1"), pinned=debs)


def test_where_it_cannot_be_had(debian: Base, make_wheel: MakeWheel, mirror: str) -> None:
    asked = wheels(make_wheel, "libgomp.so.1")
    start = r"lightgbm 4\.7\.0 needs libgomp\.so\.1 \(lightgbm/lib\.so\), which base b has not; .*libgomp1.*: "
    with pytest.raises(Unreachable, match=start + r"http://127\.0\.0\.1:9/debian/.*refused"):
        supplement(debian, asked)
    with pytest.raises(NotFound, match=r"needs libnone\.so\.7 .*no package of"):
        supplement(debian, wheels(make_wheel, "libgomp.so.1", "libnone.so.7"), mirror=mirror)
    with pytest.raises(Unsupported, match=start + "base b is Fedora"):
        supplement(replace(debian, system={"ID": "fedora", "PRETTY_NAME": "Fedora"}), asked)


@pytest.mark.container
@pytest.mark.slow
def test_a_real_base_and_a_real_archive(base_tar: Path, store: Store, make_wheel: MakeWheel) -> None:
    platform = Platform.of_this_machine()
    base = open_base(str(base_tar), platform, store)
    asked = Wheels((Wheel.open(make_wheel("x", {"x.so": tiny_elf(platform.architecture, ("libgomp.so.1",))})),))
    found = supplement(base, asked)
    assert [one.name for one in found.debs] == ["libgomp1"] and found.debs[0].url.startswith("https://deb.debian.org/")
