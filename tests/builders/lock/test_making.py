"""Lines of which some are there as source only; what is built in containers is in test_workshop."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.engine.engine import HOST, find
from gantline.builders.image.base import Base
from gantline.builders.lock import built
from gantline.builders.lock.building import AUTO, CONTAINER, Building
from gantline.builders.lock.pylock import Lock
from gantline.builders.lock.resolve import lock_package
from gantline.builders.lock.solver import Offer
from gantline.builders.lock.sources import Sources
from gantline.builders.lock.target import Target

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, Unreachable, Unsupported
from gantline.oci.platforms import Platform

from .sdist import sdist
from .tiny import package, wheel

ARM = Platform.parse("linux/arm64")
PYTHON = (3, 11)
BASE = Base("a base", ARM, (), ("sha256:" + "5" * 64,), "/usr/bin/python3.11", PYTHON, glibc=(2, 36))
NOWHERE = "unix:///nowhere.sock"


def built_before(folder: Path, source: Path) -> Path:
    """As if a container of that base had built it."""
    offer = Offer(source.name, source.as_uri(), sha256_file(source), source.stat().st_size)
    at = built.folder(offer, Target(ARM, PYTHON), "in", *BASE.diff_ids)
    at.parent.mkdir(parents=True, exist_ok=True)
    name, _, version = source.name.removesuffix(".tar.gz").partition("-")
    return built.keep(at, wheel(folder, name, version, ["bark"]), offer)


def locked(root: Path, line: str, building: Building, *folders: Path) -> Lock:
    sources = Sources(no_index=True, find_links=tuple(map(str, folders)), build=building)
    return lock_package(package(root, [line]), ARM, PYTHON, sources=sources, base=BASE)


def test_what_was_built_before_needs_no_engine(house: Path, tmp_path: Path) -> None:
    """The newest that fits; what it requires is read from its wheel, and its archive stands in the lock."""
    for version in ("1.0", "2.0", "3.0"):
        sdist(tmp_path / "w", "forest", version)
    source = tmp_path / "w" / "forest-2.0.tar.gz"
    wheel(tmp_path / "w", "bark")
    made = built_before(tmp_path / "made", source)
    building = Building(CONTAINER, engine=NOWHERE)
    lock = locked(tmp_path / "p", "forest<3", building, house, tmp_path / "w")
    forest = next(p for p in lock.packages if p.name == "forest")
    assert (forest.digest, forest.url, forest.asked) == (sha256_file(made), "", ("forest<3 (the package)",))
    assert forest.source == Offer(source.name, "", sha256_file(source), source.stat().st_size)
    assert Lock.from_bytes(lock.to_bytes(), "it") == lock and str(tmp_path).encode() not in lock.to_bytes()
    line = f"forest @ {source.as_uri()}"
    direct = locked(tmp_path / "q", line, building, house, tmp_path / "w")
    found = next(p for p in direct.packages if p.name == "forest")
    assert found.digest == forest.digest and found.asked == (f"{line} (the package)",)
    sdist(tmp_path / "w", "forest", "2.0", tag="py2-none-any")
    with pytest.raises(Unreachable, match=r"nowhere\.sock"):  # another archive by now
        locked(tmp_path / "r", "forest<3", building, house, tmp_path / "w")


def test_without_the_engine_that_is_asked_for(house: Path, tmp_path: Path) -> None:
    source = sdist(tmp_path / "w", "forest", "2.0")
    said = r"'forest' \(the package\): is there as source only, and --build-wheels makes its wheel in a container: "
    with pytest.raises(Unreachable, match=said + r"engine unix:///nowhere\.sock: there is no such socket"):
        locked(tmp_path / "p", "forest", Building(CONTAINER, engine=NOWHERE), house, source.parent)
    with pytest.raises(Unreachable, match=said):
        locked(tmp_path / "q", "forest", Building(AUTO, engine=NOWHERE), house, source.parent)
    with pytest.raises(BadArtefact):
        locked(tmp_path / "r", "forest>2", Building(CONTAINER, engine=NOWHERE), house, source.parent)


def test_on_this_machine_where_no_engine_answers(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.delenv(HOST, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if find() is not None:
        pytest.skip("an engine answers here")
    source = sdist(tmp_path / "w", "forest", "2.0")
    if Platform.of_this_machine().serves(ARM):
        assert "forest" in {p.name for p in locked(tmp_path / "p", "forest", Building(), house, source.parent).packages}
        return
    with pytest.raises(Unsupported, match=r"\(this machine\), and the lock is for linux/arm64.* start a container eng"):
        locked(tmp_path / "p", "forest", Building(), house, source.parent)
