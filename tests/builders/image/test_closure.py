"""Every file finds its libraries, or it is said which does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.image.base import Base
from gantline.builders.image.closure import Missing, missing_in, missing_libraries
from gantline.builders.image.elf import Elf
from gantline.builders.image.entry import of_bytes
from gantline.builders.image.tree import FILE, LINK, Node, Tree
from gantline.builders.image.wheel import Wheel

from gantline.errors import BadArtefact
from gantline.oci.platforms import Platform

from .conftest import AMD64, MakeWheel
from .tiny_elf import tiny_elf

LIB = "usr/lib/x86_64-linux-gnu"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))


def node(needed: tuple[str, ...] = (), architecture: str = "amd64", **more: object) -> Node:
    return Node(FILE, 1, elf=Elf(architecture, True, needed, **more))  # type: ignore[arg-type]


def base(**files: Node) -> Base:
    tree = Tree()
    tree.lay(
        [
            ("usr/bin/python3.11", node(("libc.so.6",))), (f"{LIB}/libc.so.6", node()),
            ("lib", Node(LINK, link="usr/lib")),
            *files.items(),
        ]
    )  # fmt: skip
    return Base("debian", AMD64, (), (), "/usr/bin/python3.11", (3, 11), {}, tree, (2, 36))


def missing(under: Base, make_wheel: MakeWheel, files: dict[str, bytes], **wheels: dict[str, bytes]) -> list[str]:
    made = [Wheel.open(make_wheel(name, content)) for name, content in {"x": files, **wheels}.items()]
    return [str(m) for m in missing_libraries(under, made, [])]


def test_found_in_the_base(make_wheel: MakeWheel) -> None:
    under = base(**{f"{LIB}/libz.so.1.2": node(("libc.so.6",)), f"{LIB}/libz.so.1": Node(LINK, link="libz.so.1.2")})
    assert missing(under, make_wheel, {"x.so": tiny_elf(needed=("libz.so.1", "libc.so.6"))}) == []


def test_named_by_wheel_library_and_file(make_wheel: MakeWheel) -> None:
    found = missing(base(), make_wheel, {"x/_x.so": tiny_elf(needed=("libgomp.so.1", "libcuda.so.1"))})
    assert found == ["x 1.0 needs libgomp.so.1 (x/_x.so)"], "a driver is the machine's"


def test_found_beside_in_another_wheel_and_by_path(make_wheel: MakeWheel) -> None:
    files = {
        "x/_x.so": tiny_elf(needed=("liba-123.so", "libtorch.so", "$weird"), runpath="$ORIGIN/../x.libs"),
        "x.libs/liba-123.so": tiny_elf(needed=("libb.so",)), "x/lib/libb.so": tiny_elf(),
        "x/_r.so": tiny_elf(rpath="$ORIGIN/lib"),
    }  # fmt: skip
    found = missing(base(), make_wheel, files, torch={"torch/lib/libtorch-2.so": tiny_elf(soname="libtorch.so")})
    assert found == ["x 1.0 needs $weird (x/_x.so)"]


def test_what_a_library_of_the_base_lacks(make_wheel: MakeWheel) -> None:
    under = base(**{f"{LIB}/liba.so": node(("libb.so",)), f"{LIB}/libunused.so": node(("libtk.so",))})
    assert missing(under, make_wheel, {"x.so": tiny_elf(needed=("liba.so",))}) == [
        f"x 1.0 needs libb.so ({LIB}/liba.so)"
    ]
    assert missing_in(under) == (
        Missing("libb.so", "the base", f"{LIB}/liba.so"), Missing("libtk.so", "the base", f"{LIB}/libunused.so"),
    )  # fmt: skip
    broken = base(**{"usr/bin/python3.11": node(("libexpat.so.1",))})
    assert missing_libraries(broken, [], [])[0].owner == "the base"


def test_a_library_of_another_processor_is_none(make_wheel: MakeWheel) -> None:
    under = base(**{f"{LIB}/liba.so": node(architecture="386")})
    assert missing(under, make_wheel, {"x.so": tiny_elf(needed=("liba.so",))}) == ["x 1.0 needs liba.so (x.so)"]


def test_a_wheel_of_another_processor(make_wheel: MakeWheel) -> None:
    with pytest.raises(BadArtefact, match=r"x 1\.0 is for arm64 \(x\.so\), and the image for linux/amd64"):
        missing(base(), make_wheel, {"x.so": tiny_elf("arm64")})
    both = {"x/a.so": tiny_elf("386", needed=("nothing.so",)), "x/b.so": tiny_elf("amd64")}
    assert missing(base(), make_wheel, both) == [], "debuggers bring themselves for each"
    other = replace(base(), platform=Platform("linux", "arm64"))
    with pytest.raises(BadArtefact, match="the package is for amd64"):
        missing_libraries(other, [], [of_bytes("a.so", tiny_elf())])


def test_a_newer_c_library(make_wheel: MakeWheel) -> None:
    files = {"x.so": tiny_elf(versions=("GLIBC_2.38",))}
    with pytest.raises(BadArtefact, match=r"x 1\.0 needs glibc 2\.38 \(x\.so\), and base debian has 2\.36"):
        missing(base(), make_wheel, files)
    assert missing(replace(base(), glibc=(0, 0)), make_wheel, files) == [], "not known, not said"


def test_ld_library_path_of_the_base(make_wheel: MakeWheel) -> None:
    under = base(**{"opt/cuda/lib/libcudart.so.12": node()})
    files = {"x.so": tiny_elf(needed=("libcudart.so.12",))}
    assert missing(under, make_wheel, files) == ["x 1.0 needs libcudart.so.12 (x.so)"]
    told = replace(under, settings={"Env": ["LD_LIBRARY_PATH=/opt/cuda/lib", "PATH=/bin"]})
    assert missing(told, make_wheel, files) == []
