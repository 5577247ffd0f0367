"""What an image needs besides its package, from a directory of small wheels that stand for the runtime's."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.image import runtime
from gantline.builders.image.base import Base
from gantline.builders.image.entry import Entry
from gantline.builders.image.mirror import KEYRING
from gantline.builders.image.supply import Supplier
from gantline.builders.lock.pylock import Lock
from gantline.builders.lock.sources import Sources

from gantline.blobs import sha256_file
from gantline.errors import GantlineError, Unavailable, UsageError
from gantline.manifest import EnvironmentRequest, Manifest, ScriptInfo
from gantline.packages import Package, seal

from .conftest import MakeWheel
from .tiny_deb import archive, served, tiny_deb
from .tiny_elf import tiny_elf


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def base(base: Base) -> Base:
    """The small one, as if its C library were Debian 12's."""
    return replace(base, glibc=(2, 36))


@pytest.fixture
def sources(make_wheel: MakeWheel, tmp_path: Path) -> Sources:
    for line in runtime.requirements():
        name, version = re.match(r"([\w.-]+)[>=]=([\d.]+)", line).groups()  # type: ignore[union-attr]
        make_wheel(name, {f"{name}.py": b""}, version=version)
    return Sources(find_links=(str(tmp_path / "wheels"),), no_index=True)


def package(root: Path, *requirements: str) -> Package:
    (root / "code").mkdir(parents=True)
    (root / "code" / "score.py").write_text("def init(): ...\ndef run(data): return 1\n")
    asked = EnvironmentRequest("requirements", "3.11", requirements)
    return seal(root, Manifest("s", "script", script=ScriptInfo("score.py"), environment=asked), {})


def text(entry: Entry) -> str:
    assert entry.open is not None
    with entry.open() as f:
        return f.read().decode()


def test_one_environment(tmp_path: Path, sources: Sources, base: Base, make_wheel: MakeWheel) -> None:
    make_wheel("thing", {"thing.py": b""})
    supplies = Supplier(sources, lambda _: None)(package(tmp_path / "p", "thing==1.0"), base)
    assert "thing" in [w.distribution for w in supplies.wheels.runtime] and supplies.wheels.script is None
    texts = {e.path.rpartition("/")[2]: text(e) for e in supplies.beneath[-1].entries}
    assert sorted(texts) == ["licences.txt", "pylock.toml", "software.cdx.json", "software.spdx.json"]
    assert all("thing" in t for t in texts.values())
    assert sorted(e.path.rpartition("/")[2] for e in supplies.evidence[0].entries) == [
        "sbom.cdx.json",
        "sbom.spdx.json",
    ]


def test_what_an_edit_renews(tmp_path: Path, sources: Sources, base: Base, make_wheel: MakeWheel) -> None:
    """The bill of the software, which is most of the evidence, is the same for two packages that ask for the same."""
    make_wheel("thing", {"thing.py": b""})
    first, second = package(tmp_path / "p", "thing==1.0"), package(tmp_path / "q", "thing==1.0")
    (second.path / "code" / "score.py").write_text("def init(): ...\ndef run(data): return 2\n")
    one, other = (Supplier(sources, lambda _: None)(p, base) for p in (first, seal(second.path, second.manifest, {})))
    assert one.beneath[-1].key == other.beneath[-1].key and one.evidence[0].key != other.evidence[0].key
    size = sum(entry.size for entry in other.evidence[0].entries)
    assert size < 6000


def test_two_where_one_cannot_be(tmp_path: Path, sources: Sources, base: Base, make_wheel: MakeWheel) -> None:
    make_wheel("numpy", {"numpy.py": b""}, version="1.21.0")
    wheels = Supplier(sources, lambda _: None)(package(tmp_path / "p", "numpy==1.21.0"), base).wheels
    assert wheels.script is not None
    versions = [[w.version for w in group if w.distribution == "numpy"] for group in (wheels.runtime, wheels.script)]
    assert versions == [["1.26"], ["1.21.0"]]


def test_what_the_base_lacks(
    tmp_path: Path, sources: Sources, base: Base, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYRING, "none")
    make_wheel("thing", {"thing/_t.so": tiny_elf(needed=("libgomp.so.1",))})
    asking = package(tmp_path / "p", "thing")
    base = replace(base, system={"ID": "debian", "VERSION_CODENAME": "bookworm"})
    library = tiny_deb("libgomp1", {"usr/lib/x86_64-linux-gnu/libgomp.so.1": tiny_elf(soname="libgomp.so.1")})
    extra = tiny_deb("tool", {"usr/bin/tool": b"#!"})
    records = [{"Package": name, "Version": "1.0-1", "Architecture": "amd64"} for name in ("libgomp1", "tool")]
    archive(tmp_path / "site", {"a.deb": (library, records[0]), "b.deb": (extra, records[1])})
    said: list[str] = []
    with served(tmp_path / "site") as url:
        supplies = Supplier(sources, said.append, apt=("tool",), mirror=url)(asking, base)
    assert supplies.beneath[0].title == "debs libgomp1 1.0-1, tool 1.0-1"
    assert any("signature not checked" in line for line in said)
    texts = {e.path.rpartition("/")[2]: text(e) for e in supplies.beneath[-1].entries}
    assert all("libgomp1" in texts[name] for name in ("pylock.toml", "software.cdx.json", "software.spdx.json"))
    lock = Lock.from_bytes(texts["pylock.toml"].encode(), "lock")
    assert lock.debs is not None and [one.name for one in lock.debs] == ["libgomp1", "tool"]
    again = Supplier(replace(sources, offline=False), said.append, {base.platform: lock})(asking, base)
    assert again.beneath[0].key == supplies.beneath[0].key, "from what was got before, the archive being gone"


def test_what_was_resolved_is_kept(tmp_path: Path, sources: Sources, base: Base, make_wheel: MakeWheel) -> None:
    make_wheel("thing", {"thing.py": b""})
    said: list[str] = []
    asking = package(tmp_path / "p", "thing")
    first = Supplier(sources, said.append).lock(asking, base)
    make_wheel("thing", {"thing.py": b""}, version="2.0")
    assert Supplier(sources, said.append).lock(asking, base) == first
    assert len([line for line in said if "resolving" in line]) == 1
    anew = Supplier(sources, said.append, anew=True).lock(asking, base)
    assert [p.version for p in anew.packages if p.name == "thing"] == ["2.0"]
    other = package(tmp_path / "q", "thing<2")
    pinned = Supplier(sources, said.append).lock(other, base).packages
    assert [p.version for p in pinned if p.name == "thing"] == ["1.0"]


def test_a_wheel_that_was_made_anew_under_its_name_is_taken(
    tmp_path: Path, sources: Sources, base: Base, make_wheel: MakeWheel
) -> None:
    """A user's own, whose version did not change: the image must not get the old one."""
    make_wheel("thing", {"thing.py": b"A = 1"})
    asking = package(tmp_path / "p", "thing")
    Supplier(sources, lambda _: None)(asking, base)
    digest = sha256_file(make_wheel("thing", {"thing.py": b"A = 2"}))
    (found,) = (p for p in Supplier(sources, lambda _: None).lock(asking, base).packages if p.name == "thing")
    assert found.digest == digest


def test_what_the_resolver_is_told_besides_counts(
    tmp_path: Path, sources: Sources, base: Base, make_wheel: MakeWheel
) -> None:
    for one in ("1.0", "2.0", "3.0a1"):
        make_wheel("thing", {"thing.py": b""}, version=one)
    asking = package(tmp_path / "p", "thing")
    limits = tmp_path / "limits.txt"

    def version(sources: Sources) -> str:
        lock = Supplier(sources, lambda _: None).lock(asking, base)
        return next(p.version for p in lock.packages if p.name == "thing")

    assert version(sources) == "2.0" and version(replace(sources, prereleases=True)) == "3.0a1"
    for limit, expected in (("<2", "1.0"), ("<3", "2.0")):
        limits.write_text(f"thing{limit}\n")
        assert version(replace(sources, constraints=(str(limits),))) == expected


def test_where_nothing_can_be_kept_it_is_said(tmp_path: Path, sources: Sources, base: Base, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "locks").write_text("a file in its way")
    with pytest.raises(Unavailable, match=r"locks: cannot be written \(file exists\); set GANTLINE_HOME"):
        Supplier(sources, lambda _: None)(package(tmp_path / "p"), base)


def test_a_lock_for_another_base(tmp_path: Path, sources: Sources, base: Base, make_wheel: MakeWheel) -> None:
    make_wheel("thing", {"thing.py": b""})
    asking = package(tmp_path / "p", "thing")
    lock = Supplier(sources, lambda _: None).lock(asking, base)
    text = lock.to_bytes().decode()
    newer = Lock.from_bytes(re.sub(r'glibc = "[\d.]+"', 'glibc = "2.99"', text).encode(), "lock")
    with pytest.raises(UsageError, match=r"glibc 2\.99.*--glibc"):
        Supplier(sources, lambda _: None, {base.platform: newer}).lock(asking, base)


def test_what_cannot_be_had_leaves_nothing(tmp_path: Path, sources: Sources, base: Base, home: Path) -> None:
    with pytest.raises(GantlineError, match="no-such-thing"):
        Supplier(sources, lambda _: None)(package(tmp_path / "p", "no-such-thing"), base)
    assert not (home / "locks").exists()
