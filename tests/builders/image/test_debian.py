"""Which Debian packages have a library, what they need besides, and the layer of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.image.base import Base, open_base
from gantline.builders.image.deb import Deb
from gantline.builders.image.debian import Archive, deb_part, names_of
from gantline.builders.image.download import Downloads
from gantline.builders.image.mirror import KEYRING
from gantline.builders.image.tree import FILE, LINK, Node, Tree

from gantline.errors import BadArtefact, NotFound, Unsupported
from gantline.oci.platforms import Platform
from gantline.oci.store import Store

from .conftest import AMD64
from .tiny_deb import archive, served, tiny_deb

LIB = "usr/lib/x86_64-linux-gnu"


@dataclass
class Site:
    """A mirror that is filled by a test, and a base that has libc6."""

    root: Path
    url: str
    base: Base
    downloads: Downloads
    debs: dict[str, tuple[bytes, Mapping[str, str]]] = field(default_factory=dict)

    def add(self, name: str, *libraries: str, version: str = "1.0-1", folder: str = LIB, **fields: str) -> None:
        more = {key.replace("_", "-"): value for key, value in fields.items()}
        data = tiny_deb(name, {f"{folder}/{library}": b"library" for library in libraries}, version, more=more)
        record = {"Package": name, "Version": version, **more}
        self.debs[f"{name}_{version}.deb"] = (data, record)

    def opened(self, contents: str = "") -> Archive:
        archive(self.root, self.debs, contents)
        return Archive.of(self.base, self.downloads, self.url)

    def names(self, *libraries: str, apt: tuple[str, ...] = (), contents: str = "") -> list[str]:
        return [one.name for one in self.opened(contents).resolve(libraries, apt)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv(KEYRING, "none")
    status = "Package: libc6\nVersion: 2.36-9\n\nPackage: mawk\nVersion: 1\nProvides: awk\n"
    tree = Tree()
    tree.lay([("var/lib/dpkg/status", Node(FILE, text=status)), ("usr/lib/x86_64-linux-gnu/libc.so.6", Node(FILE))])
    tree.lay([("lib", Node(LINK, link="usr/lib"))])
    sources = "deb http://x/debian bookworm main\n"
    tree.lay([("etc/apt/sources.list", Node(FILE, text=sources))])
    system = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    base = Base("b", AMD64, (), (), "/usr/bin/python3.11", (3, 11), {}, tree, (2, 36), system)
    (tmp_path / "site").mkdir()
    with served(tmp_path / "site") as url:
        yield Site(tmp_path / "site", url, base, Downloads(tmp_path / "kept", pause=lambda _: None))


@pytest.mark.parametrize(
    "library, package",
    [
        ("libgomp.so.1", "libgomp1"), ("libX11.so.6", "libx11-6"), ("libglib-2.0.so.0", "libglib2.0-0"),
        ("libGL.so.1", "libgl1"), ("libstdc++.so.6", "libstdc++6"), ("libasound.so.2", "libasound2t64"),
        ("libpython3.11.so.1.0", "libpython3.11"), ("libboost_system.so.1.74.0", "libboost-system1.74.0"),
    ],
)  # fmt: skip
def test_names_by_the_rule(library: str, package: str) -> None:
    names = names_of(library)
    if package.startswith(("libpython", "libboost")):
        assert names and package not in names, "those are looked up in the list of contents"
    else:
        assert package in names


def test_no_names() -> None:
    assert names_of("ld-linux-x86-64.so.2") == [] and names_of("$weird") == []
    assert names_of("libtk8.6.so")[0] == "libtk8.6"


def test_by_rule_with_what_it_needs(site: Site) -> None:
    site.add("libgomp1", "libgomp.so.1", Depends="libc6 (>= 2.34), gcc-12-base (= 1.0-1), awk, no-such | libdeep1")
    site.add("gcc-12-base")
    site.add("libdeep1", Pre_Depends="libgomp1")
    assert site.names("libgomp.so.1") == ["gcc-12-base", "libdeep1", "libgomp1"]
    assert site.names("libgomp.so.1", apt=("gcc-12-base",)) == ["gcc-12-base", "libdeep1", "libgomp1"]
    assert site.names(apt=("libdeep1",)) == ["gcc-12-base", "libdeep1", "libgomp1"], "a ring of needs"


def test_pinned(site: Site) -> None:
    site.add("libgomp1", "libgomp.so.1")
    (found,) = site.opened().resolve(["libgomp.so.1"])
    data = site.debs["libgomp1_1.0-1.deb"][0]
    assert found.url == f"{site.url}/pool/libgomp1_1.0-1.deb" and found.size == len(data)
    assert Deb.from_json(found.to_json(), "x") == found
    wrong: tuple[Any, ...] = ({}, {**found.to_json(), "sha256": "x"}, {**found.to_json(), "name": "../x"}, [], None)
    for broken in wrong:
        with pytest.raises(BadArtefact, match="x: "):
            Deb.from_json(broken, "x")


def test_the_newest(site: Site) -> None:
    site.add("libx1", "libx.so.1", version="1.0-9")
    site.add("libx1", "libx.so.1", version="1.0-10")
    assert [one.version for one in site.opened().resolve(["libx.so.1"])] == ["1.0-10"]


def test_by_the_list_of_contents(site: Site) -> None:
    site.add("zlib1g", "libz.so.1")
    site.add("zlib-other-place", "libz.so.1", folder="opt/z")
    site.add("libz1", "libother.so.1")
    contents = f"opt/z/libz.so.1 x/zlib-other-place\n{LIB}/libz.so.1 libs/zlib1g\n{LIB}/libz.so.1 libs/not-in-index\n"
    assert site.names("libz.so.1", contents=contents) == ["zlib1g"], "libz1, by the rule, does not hold it"


def test_virtual_packages(site: Site) -> None:
    site.add("liba1", "liba.so.1", Depends="libblas.so.3, editor")
    site.add("libblas3", "libblas.so.3", Provides="libblas.so.3 (= 3)")
    site.add("vim", Provides="editor")
    assert site.names("liba.so.1") == ["liba1", "libblas3", "vim"]


def test_what_cannot_be_had(site: Site) -> None:
    site.add("liba1", "liba.so.1", Depends="libc6 (>= 2.40)")
    site.add("libb1", "libb.so.1", Depends="gone (>= 3) | other")
    site.add("libc6", version="2.41-1")
    with pytest.raises(NotFound, match=r"liba1 needs libc6 \(>= 2\.40\), and base b has 2\.36-9: use a newer one"):
        site.names("liba.so.1")
    with pytest.raises(NotFound, match=r"libb1 needs gone \(>= 3\) or other, which the archive has not"):
        site.names("libb.so.1")
    with pytest.raises(NotFound, match=r"libx\.so\.1: no package of http"):
        site.names("libx.so.1")
    with pytest.raises(NotFound, match=r"--apt nothing: no package nothing in http"):
        site.names(apt=("nothing",))


def test_only_debian_and_ubuntu(site: Site) -> None:
    with pytest.raises(Unsupported, match="Fedora 40: only Debian's"):
        Archive.of(replace(site.base, system={"ID": "fedora", "PRETTY_NAME": "Fedora 40"}), site.downloads)
    arm = replace(site.base, platform=Platform("linux", "arm", "v7"))
    assert Archive.of(arm, site.downloads).mirror.architecture == "armhf"


def test_the_layer(site: Site) -> None:
    site.add("liba1", "liba.so.1", folder="lib/x86_64-linux-gnu")
    site.add("libb1", "libb.so.1", folder=f"{LIB}/b-threads")
    debs = site.opened().resolve(["liba.so.1", "libb.so.1"])
    part, notes = deb_part(debs, ["liba.so.1", "libb.so.1"], site.base, site.downloads)
    assert part.title == "debs liba1 1.0-1, libb1 1.0-1"
    entries = {entry.path: entry for entry in part.entries}
    assert f"{LIB}/liba.so.1" in entries, "lib is a link in the base, and stays one"
    assert entries[f"{LIB}/libb.so.1"].link == f"/{LIB}/b-threads/libb.so.1" and "no loader looks" in notes[0]
    again, _ = deb_part(debs, ["libb.so.1", "liba.so.1"], site.base, Downloads(site.downloads.folder, offline=True))
    assert again.key == part.key
    assert deb_part(debs[:1], ["liba.so.1"], site.base, site.downloads)[0].key != part.key


@pytest.mark.container
@pytest.mark.slow
def test_lightgbms_library_from_debian_itself(base_tar: Path, store: Store, tmp_path: Path) -> None:
    base = open_base(str(base_tar), Platform.of_this_machine(), store)
    downloads = Downloads(tmp_path / "debian")
    archive = Archive.of(base, downloads)
    debs = archive.resolve(["libgomp.so.1", "libz.so.1"])
    assert [one.name for one in debs] == ["libgomp1", "zlib1g"], "by the rule, and by the list of contents"
    part, _ = deb_part(debs, ["libgomp.so.1"], base, downloads)
    assert any(entry.path.endswith("-linux-gnu/libgomp.so.1") for entry in part.entries)
