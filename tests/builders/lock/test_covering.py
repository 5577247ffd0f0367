"""A lock that a user gives, and what the package asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.lock.covering import check_covers
from gantline.builders.lock.pylock import Lock, Locked
from gantline.builders.lock.request import everything
from gantline.builders.lock.sources import Sources
from gantline.builders.lock.target import Target

from gantline.errors import UsageError
from gantline.manifest import EnvironmentRequest, Manifest, ScriptInfo
from gantline.oci.platforms import Platform
from gantline.packages import Package, seal

TARGET = Target(Platform("linux", "amd64"), (3, 11))
NOWHERE = Sources(no_index=True)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    (tmp_path / "p" / "code").mkdir(parents=True)
    (tmp_path / "p" / "code" / "score.py").write_text("import nothing_like_this\n")
    lines = (
        "Some.Thing>=2", "other[x]; sys_platform == 'win32'", "third; python_version >= '3.8'",
        "https://host/fourth-1.0-py3-none-any.whl",
    )  # fmt: skip
    manifest = Manifest(
        "s", "script", script=ScriptInfo("score.py"), environment=EnvironmentRequest("requirements", "", lines)
    )
    return seal(tmp_path / "p", manifest, {})


def locked(package: Package, **versions: str) -> Lock:
    """A lock with what serves, at versions that will do, and these."""
    runtime = {one.name: "9999" for one in everything(package, NOWHERE)[0] if one.group == "runtime"}
    exact = {"uvicorn": next(o.line.partition("==")[2] for o in everything(package, NOWHERE)[0] if o.name == "uvicorn")}
    every = {**runtime, **exact, **versions}
    return Lock(TARGET, tuple(Locked(name, version, f"{name}.whl", "", 0) for name, version in every.items()))


def test_what_it_must_have(package: Package) -> None:
    check_covers(locked(package, some_thing="2.1rc1", third="1", fourth="1.0"), package, NOWHERE)
    with pytest.raises(UsageError, match=r"'Some.Thing>=2' \(the package\) asks for: it has some-thing 1.9;"):
        check_covers(locked(package, some_thing="1.9", third="1", fourth="1.0"), package, NOWHERE)
    with pytest.raises(UsageError, match="it has no third"):
        check_covers(locked(package, some_thing="2", fourth="1.0"), package, NOWHERE)
    with pytest.raises(UsageError, match="it has no fourth"):
        check_covers(locked(package, some_thing="2", third="1"), package, NOWHERE)


def test_constraints_hold_for_what_is_there(package: Package, tmp_path: Path) -> None:
    lines = ("third", "-c third<2", "-c absent==1")
    manifest = replace(package.manifest, environment=EnvironmentRequest("requirements", "", lines))
    (tmp_path / "q" / "code").mkdir(parents=True)
    (tmp_path / "q" / "code" / "score.py").write_text("")
    bound = seal(tmp_path / "q", manifest, {})
    check_covers(locked(bound, third="1"), bound, NOWHERE)
    with pytest.raises(UsageError, match=r"'-c third<2' \(the package\) asks for: it has third 2;"):
        check_covers(locked(bound, third="2"), bound, NOWHERE)


def test_of_two_environments_the_right_one(package: Package) -> None:
    lock = replace(locked(package, some_thing="2", third="1", fourth="1.0"), apart=True)
    with pytest.raises(UsageError, match="it has no some-thing"):
        check_covers(lock, package, NOWHERE)


def test_a_script_that_asks_for_nothing(package: Package, tmp_path: Path) -> None:
    """What it was locked to counts, whatever is installed here."""
    manifest = replace(package.manifest, environment=EnvironmentRequest(), files=())
    check_covers(Lock(TARGET, ()), seal(tmp_path / "p", manifest, {}), NOWHERE)
