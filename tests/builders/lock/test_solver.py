"""What uv is asked, and how its answers are read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from gantline.builders.lock import solver
from gantline.builders.lock.asked import Asked
from gantline.builders.lock.building import HERE, Building
from gantline.builders.lock.refusals import explain
from gantline.builders.lock.solver import Offer, Refused, solve
from gantline.builders.lock.sources import Sources
from gantline.builders.lock.target import Target

from gantline.errors import Unsupported
from gantline.oci.platforms import Platform

from .sdist import sdist
from .tiny import LINUX, Index, serving_index, wheel

TARGET = Target(Platform.parse("linux/amd64"), (3, 11))


def test_who_asked_for_what(tmp_path: Path) -> None:
    wheel(tmp_path, "oak", "1.0", ["bark", "leaf; sys_platform == 'win32'", "root; platform_machine == 'x86_64'"])
    wheel(tmp_path, "bark", "1.0", ["oak"])  # in a circle
    wheel(tmp_path, "root", "1.0")
    oak, bark = Asked("oak", "one"), Asked("Bark>=1", "two")
    found = solve([oak, bark], TARGET, Sources(no_index=True, find_links=(str(tmp_path),)))
    assert not isinstance(found, Refused)
    assert {s.name: s.by for s in found} == {"bark": (oak, bark), "oak": (oak, bark), "root": (oak, bark)}
    (offer,) = found[1].wheels
    assert offer.file == "oak-1.0-py3-none-any.whl" and offer.url.startswith("file://")


def test_what_was_tried_is_taken_where_it_fits(tmp_path: Path) -> None:
    """What a package was compared with is what it should run with; where that cannot be, it is no reason to fail."""
    for version in ("1.0", "2.0", "3.0"):
        wheel(tmp_path, "oak", version)
    sources = Sources(no_index=True, find_links=(str(tmp_path),))

    def versions(preferred: dict[str, str], line: str) -> list[str]:
        found = solve([Asked(line, "one")], TARGET, sources, preferred)
        assert not isinstance(found, Refused), found.text
        return [s.version for s in found]

    assert versions({"Oak": "2.0"}, "oak") == ["2.0"]
    assert versions({"oak": "2.0"}, "oak>2") == ["3.0"]
    assert versions({"oak": "2.5"}, "oak") == ["3.0"], "no index has it"
    assert versions({"elm": "1.0"}, "oak") == ["3.0"]
    assert versions({"oak": "2.0\n--index-url https://evil.invalid", "--pre": "1"}, "oak") == ["3.0"]


def test_constraints_of_a_package(tmp_path: Path) -> None:
    """They hold down what is asked for, by the package itself or by others, and ask for nothing."""
    for name, version, needs in (("oak", "1.0", ["bark"]), ("oak", "2.0", ["bark"]), ("bark", "1.0", []),
                                 ("bark", "2.0", []), ("elm", "1.0", [])):  # fmt: skip
        wheel(tmp_path, name, version, needs)
    asked = [Asked(x, "the package") for x in ("oak", "-c Bark<2", "-c oak<2; sys_platform == 'win32'", "-c elm==1.0")]
    sources = Sources(no_index=True, find_links=(str(tmp_path),))
    found = solve(asked, TARGET, sources)
    assert not isinstance(found, Refused), found.text
    assert {s.name: (s.version, s.by) for s in found} == {
        "oak": ("2.0", (asked[0], asked[2])), "bark": ("1.0", (asked[0], asked[1])),
    }  # fmt: skip
    refused = solve([*asked, Asked("-c bark>2", "another")], TARGET, sources)
    assert isinstance(refused, Refused)
    told = str(explain(refused.text, [*asked, Asked("-c bark>2", "another")], TARGET, sources))
    assert "'-c Bark<2' (the package)" in told and "'-c bark>2' (another)" in told


def test_constraints_and_prereleases(tmp_path: Path) -> None:
    for version in ("1.0", "2.0", "3.0rc1"):
        wheel(tmp_path / "w", "oak", version)
    (tmp_path / "pins.txt").write_text("oak<2\n")
    plain = Sources(no_index=True, find_links=(str(tmp_path / "w"),))

    def chosen(**more: object) -> str:
        from dataclasses import replace

        found = solve([Asked("oak", "x")], TARGET, replace(plain, **more))  # type: ignore[arg-type]
        return found.text if isinstance(found, Refused) else found[0].version

    assert chosen() == "2.0"
    assert chosen(constraints=(str(tmp_path / "pins.txt"),)) == "1.0"
    assert chosen(prereleases=True) == "3.0rc1"


def test_a_first_index_that_has_a_preferred_version_for_another_platform(tmp_path: Path) -> None:
    """uv by itself looks no further, and calls it absent."""
    tried = "2.4.6"
    wheel(tmp_path / "one", "numpy", tried, tags=f"cp311-cp311-{LINUX['arm64']}")
    mine = wheel(tmp_path / "two", "numpy", tried, tags=f"cp311-cp311-{LINUX['amd64']}")
    with serving_index(Index(tmp_path / "one")) as one, serving_index(Index(tmp_path / "two")) as two:
        found = solve([Asked(f"numpy=={tried}", "x")], TARGET, Sources(two.url, (one.url,)), {"numpy": tried})
    assert not isinstance(found, Refused), found.text
    assert [offer.file for offer in found[0].wheels] == [mine.name]


def test_what_was_tried_is_taken_from_whichever_index_has_it_for_the_platform(tmp_path: Path) -> None:
    """Hinted at, another version would be taken: of what it is hinted at, uv looks at the first index that has it."""
    for tag in LINUX.values():
        wheel(tmp_path / "two", "oak", "1.0", tags=f"cp311-cp311-{tag}")
    wheel(tmp_path / "one", "oak", "2.0", tags=f"cp311-cp311-{LINUX['arm64']}")
    mine = wheel(tmp_path / "two", "oak", "2.0", tags=f"cp311-cp311-{LINUX['amd64']}")
    with serving_index(Index(tmp_path / "one")) as one, serving_index(Index(tmp_path / "two")) as two:
        found = solve([Asked("oak", "x")], TARGET, Sources(two.url, (one.url,)), {"oak": "2.0"})
    assert not isinstance(found, Refused), found.text
    assert [offer.file for offer in found[0].wheels] == [mine.name]
    assert found[0].by == (Asked("oak", "x"),)


def test_what_is_strange_is_told(tmp_path: Path) -> None:
    """A version that its authors took back is taken where a line names it; an extra that is not there is none."""

    class Yanking(Index):
        def listing(self, name: str) -> bytes:
            return super().listing(name).replace(b'href="/files/oak-2.0', b'data-yanked="broken" href="/files/oak-2.0')

    for version in ("1.0", "2.0"):
        wheel(tmp_path / "w", "oak", version)
    told: list[str] = []
    with serving_index(Yanking(tmp_path / "w")) as index:
        newest = solve([Asked("oak", "x")], TARGET, Sources(index.url), tell=told.append)
        assert not isinstance(newest, Refused) and newest[0].version == "1.0" and not told
        named = solve([Asked("oak[none]==2.0", "x")], TARGET, Sources(index.url), tell=told.append)
    assert not isinstance(named, Refused) and named[0].version == "2.0"
    assert sorted(told) == [
        "'oak==2.0' is yanked (reason: \"broken\")",
        "The package 'oak==2.0' does not have an extra named 'none'",
    ]


def test_source_archives_are_offered_only_where_they_can_be_built(tmp_path: Path) -> None:
    from dataclasses import replace

    path = sdist(tmp_path, "oak", "1.0")
    sources = Sources(no_index=True, find_links=(str(tmp_path),))
    refused = solve([Asked("oak", "x")], TARGET, sources)
    assert isinstance(refused, Refused) and "no usable wheels" in refused.text
    found = solve([Asked("oak", "x")], TARGET, replace(sources, build=Building(HERE)))
    assert not isinstance(found, Refused) and found[0].wheels == ()
    assert found[0].source is not None and found[0].source.file == path.name


def test_answers_of_other_kinds() -> None:
    """Direct URLs, with a password that is not carried on."""
    package = {"name": "oak", "archive": {"url": "https://u:p@x.invalid/oak-1.0-py3-none-any.whl", "hashes": {}}}
    solved = solver._solved(package, ())
    assert solved.version == "1.0"
    assert solved.wheels == (Offer("oak-1.0-py3-none-any.whl", "https://x.invalid/oak-1.0-py3-none-any.whl"),)
    package = {"name": "oak", "version": "1.0", "archive": {"url": "https://x.invalid/oak-1.0.zip", "size": 3}}
    assert solver._solved(package, ()).source == Offer("oak-1.0.zip", "https://x.invalid/oak-1.0.zip", "", 3)


def test_without_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import uv

    def absent() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(uv, "find_uv_bin", absent)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match=r"needs 'uv'.*gantline\[build\]"):
        solver.uv()
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)
    assert solver.uv() == shutil.which("uv") == str(tmp_path / "uv")
    (tmp_path / "uv").write_bytes(b"not a program")
    with pytest.raises(Unsupported, match=r"uv cannot be run \(Exec format error\)"):
        solve([Asked("oak", "x")], TARGET, Sources(no_index=True))
