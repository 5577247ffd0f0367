"""Wheels built here, by the real build frontend, for this machine and for none else."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.lock.building import HERE, Building
from gantline.builders.lock.from_source import build_wheel, check_machine
from gantline.builders.lock.resolve import lock_package
from gantline.builders.lock.solver import Offer
from gantline.builders.lock.sources import Sources
from gantline.builders.lock.target import Target

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, Unsupported, VerificationFailed
from gantline.oci.platforms import Platform

from .sdist import sdist
from .tiny import Index, package, serving_index

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="builds for glibc")
PYTHON = (sys.version_info[0], sys.version_info[1])
MACHINE = Platform.of_this_machine()
TARGET = Target(MACHINE, PYTHON, (2, 99))
NOTHING = Sources(no_index=True, build=Building(HERE))


def test_built_once_and_locked(house: Path, tmp_path: Path) -> None:
    sdist(tmp_path / "w", "forest", "2.0")
    sources = replace(NOTHING, find_links=(str(house), str(tmp_path / "w")))
    made = package(tmp_path / "p", ["forest==2.0"])
    lock = lock_package(made, MACHINE, PYTHON, (2, 99), sources)
    forest = next(p for p in lock.packages if p.name == "forest")
    assert forest.file == "forest-2.0-py3-none-any.whl" and forest.asked == ("forest==2.0 (the package)",)
    source = tmp_path / "w" / "forest-2.0.tar.gz"
    assert forest.source == Offer(source.name, "", sha256_file(source), source.stat().st_size)
    assert lock_package(made, MACHINE, PYTHON, (2, 99), sources) == lock


@pytest.mark.slow
def test_of_an_archive_over_http(tmp_path: Path) -> None:
    path = sdist(tmp_path / "w", "forest", "2.0", tag="cp311-cp311-linux_x86_64")
    with serving_index(Index(path.parent)) as index:
        offer = Offer(path.name, f"http://127.0.0.1:{index.port}/files/{path.name}", sha256_file(path))
        found = build_wheel("forest", offer, TARGET, NOTHING)
        assert found.name == "forest-2.0-cp311-cp311-linux_x86_64.whl"
        assert build_wheel("forest", offer, TARGET, NOTHING) == found and len(index.asked) == 1
        with pytest.raises(VerificationFailed, match="its index says sha256:00"):
            build_wheel("forest", replace(offer, digest="sha256:00"), TARGET, NOTHING)


def test_a_build_that_fails(tmp_path: Path) -> None:
    path = sdist(tmp_path / "w", "forest", "2.0", broken=True)
    with pytest.raises(BadArtefact, match=r"forest: forest-2\.0\.tar\.gz could not be built here: .*says no.* log: .*"):
        build_wheel("forest", Offer(path.name, path.as_uri()), TARGET, NOTHING)
    assert not list((tmp_path / "home" / "built").iterdir()), "nothing half-made is left"


@pytest.mark.slow
def test_a_wheel_that_does_not_run_there(house: Path, tmp_path: Path) -> None:
    sdist(tmp_path / "w", "forest", "2.0", tag="cp39-cp39-win_amd64")
    sources = replace(NOTHING, find_links=(str(house), str(tmp_path / "w")))
    with pytest.raises(BadArtefact, match=r"'forest' \(the package\): built here it is forest-2\.0-cp39.*does not run"):
        lock_package(package(tmp_path / "p", ["forest"]), MACHINE, PYTHON, (2, 99), sources)


def test_for_machines_like_this_one_alone() -> None:
    other = Platform.parse("linux/arm64" if MACHINE.architecture == "amd64" else "linux/amd64")
    for target in (Target(other, PYTHON, (2, 99)), Target(MACHINE, (3, 8), (2, 99))):
        with pytest.raises(Unsupported, match=r"forest: --build-wheels makes .* \(this machine\).*--find-links"):
            check_machine("forest", target)
    with pytest.raises(Unsupported, match=r"what is built here needs glibc 2\.\d+, the base has 2\.17"):
        check_machine("forest", Target(MACHINE, PYTHON, (2, 17)))
