"""The registry as programs use it: versions, aliases, labels, what was; on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import gantline
from gantline.errors import BadArtefact, NotFound, UsageError, VerificationFailed
from gantline.packages import Package
from gantline.registry import moment
from gantline.registry.moment import shown
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]
NONE = "sha256:" + "0" * 64


def test_versions_are_given_in_order(registry: Registry, make: MakePackage) -> None:
    one, two = make(factor=2), make(factor=3)
    first, second = registry.register(one), registry.register(two.path)
    assert (first.id, first.digest, first.created) == ("iris:1", one.digest, True)
    assert (second.id, second.digest, second.who) == ("iris:2", two.digest, "ann@test")
    assert registry.register(make("wine")).id == "wine:1"
    again = registry.register(one)
    assert (again.version, again.created) == (1, False)
    assert registry.register(one, new_version=True).version == 3
    assert registry.register(one).version == 3  # the newest of those that are this package
    assert [v.id for v in registry.list()] == ["iris:3", "iris:2", "iris:1", "wine:1"]


def test_what_a_reference_means(registry: Registry, make: MakePackage) -> None:
    one, two = make(factor=2), make(factor=3)
    registry.register(one, alias="champion")
    registry.register(two)
    for ref, version in (
        ("iris", 2), ("iris:1", 1), ("registry://iris@champion", 1), ("iris@latest", 2), (f"iris@{one.digest}", 1),
    ):  # fmt: skip
        assert registry.get(ref).version == version, ref
    for ref, words in (
        ("irs", "no model 'irs'; did you mean 'iris'?"),
        ("iris:9", "'iris' has no version 9; the newest is iris:2"),
        ("iris@challenger", "'iris' has no alias 'challenger'; it has champion"),
        (f"iris@{NONE}", "no version of 'iris' is the package"),
    ):
        with pytest.raises(NotFound) as caught:
            registry.get(ref)
        assert words in caught.value.message and "\n" not in caught.value.message


def test_the_package_comes_back_whole(registry: Registry, make: MakePackage, home: Path) -> None:
    made = make(run="run-7", label="spring")
    registry.register(made, alias="champion")
    path = registry.path("iris@champion")
    package = registry.package("iris@champion")
    assert package.path == path and path.is_relative_to(home / "packages") and path.name == "1"
    assert package.digest == made.digest and package.verify_files() == 2 and package.lineage()["label"] == "spring"
    assert registry.package("iris:1").verify_files() == 2
    # what was changed is made again
    (path / "model.onnx").unlink()
    assert registry.package("iris").verify_files() == 2


def test_aliases_and_what_they_were(registry: Registry, make: MakePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000_000_000, 10**12, 1_000_000_000))
    monkeypatch.setattr(moment, "now", lambda: next(clock))
    for factor in (2, 3, 4):
        registry.register(make(factor=factor))
    for version in (1, 2, 3):
        event = registry.promote(f"iris:{version}", "champion")
        assert (event.was, event.became, event.who) == (version - 1 or None, version, "ann@test")
    times = registry.periods("iris", "champion")
    assert [(p.version, p.until) for p in times] == [(1, times[1].since), (2, times[2].since), (3, None)]
    for i, period in enumerate(times):
        for at in (period.since, (period.until or period.since + 2) - 1):
            assert registry.alias_at("iris", "champion", shown(at)) == i + 1
    assert registry.alias_at("iris", "champion", shown(times[0].since - 1)) is None

    back = registry.rollback("iris", "champion", shown(times[1].since))
    assert (back.action, back.was, back.became) == ("rollback", 3, 2)
    assert registry.rollback("iris", "champion", 1).became == 1 and registry.get("iris@champion").version == 1
    assert registry.rollback("iris", "champion", "3").became == 3
    line = registry.promote("iris:3", "champion")  # nothing changes, so nothing is added
    assert (line.action, line.was, line.became) == ("rollback", 3, 3) and len(registry.periods("iris", "champion")) == 6
    assert registry.release("iris", "champion").became is None
    with pytest.raises(NotFound, match="no alias"):
        registry.get("iris@champion")
    assert registry.rollback("iris", "champion", 2).was is None


def test_rollbacks_that_make_no_sense(registry: Registry, make: MakePackage) -> None:
    registry.register(make(factor=2), alias="champion")
    registry.register(make(factor=3))
    with pytest.raises(UsageError, match=r"never pointed at version 2 \(but at 1\); `gantline promote`"):
        registry.rollback("iris", "champion", 2)
    with pytest.raises(NotFound, match=r"pointed at nothing at .*; it was first set at"):
        registry.rollback("iris", "champion", "2020-01-01")
    with pytest.raises(UsageError, match="in the future"):
        registry.rollback("iris", "champion", "2999-01-01")
    with pytest.raises(UsageError, match="expected ISO 8601"):
        registry.rollback("iris", "champion", "tomorrow")
    with pytest.raises(NotFound, match="never had an alias 'challenger'"):
        registry.rollback("iris", "challenger", 1)
    assert registry.get("iris@champion").version == 1 and len(registry.periods("iris", "champion")) == 1


def test_tags_change_and_properties_stay(registry: Registry, make: MakePackage) -> None:
    package = make()
    registry.register(package, tags={"stage": "test", "owner": "ann"}, properties={"team": "x"})
    changed = registry.tag("iris:1", {"stage": "live", "owner": None, "note": "a=b"})
    assert changed.tags == {"stage": "live", "note": "a=b"}
    assert registry.register(package, tags={"more": "1"}).tags == {"stage": "live", "note": "a=b", "more": "1"}
    assert registry.register(package, properties={"team": "x"}).properties == {"team": "x"}
    with pytest.raises(UsageError, match=r"its properties cannot change \(team=x\); --new-version"):
        registry.register(package, properties={"team": "y"})
    with pytest.raises(UsageError, match="is no text"):
        registry.tag("iris:1", {"stage": "\udcff"})
    with pytest.raises(UsageError, match="is no text"):
        registry.list(tags={"\udcff": None})
    with pytest.raises(UsageError, match="a key has"):
        registry.tag("iris:1", {"a=b": "c"})
    log = registry.history("iris")
    assert [e.action for e in log] == ["register", "tag", "tag"]
    assert log[1].was == {"stage": "test", "owner": "ann"} and log[1].became == {"stage": "live", "note": "a=b"}
    assert registry.tag("iris:1", {"note": "a=b"}).tags == changed.tags | {"more": "1"}
    assert len(registry.history("iris")) == 3


def test_a_version_that_is_removed(registry: Registry, make: MakePackage) -> None:
    one = make(factor=2)
    registry.register(one)
    registry.register(make(factor=3), alias="champion")
    with pytest.raises(UsageError, match="iris:2 is champion; promote another"):
        registry.remove("iris:2")
    registry.remove("iris:1")
    with pytest.raises(NotFound, match=r"iris:1 was removed at .*; the newest is iris:2"):
        registry.get("iris:1")
    assert [v.version for v in registry.list("iris")] == [2]
    assert registry.register(one).version == 3  # its number is not given again
    assert [e.action for e in registry.history("iris")][-2:] == ["remove", "register"]


def test_what_was_made_of_a_package(registry: Registry, make: MakePackage) -> None:
    package = make()
    registry.register(package)
    image, config, lock = (f"sha256:{c * 64}" for c in "abc")
    assert package.digest is not None
    registry.record_image(package.digest, image, id=config, name="iris:1", platform="linux/amd64", lock=lock)
    registry.record_image(package.digest, image, id=config, name="iris:1", platform="linux/amd64", lock=lock)
    registry.record_deployment("iris-live", package.digest, target="docker", image=image)
    for digest, what in ((image, "image"), (config, "image ID"), (lock, "lock"), (package.digest, "package")):
        found = registry.trace(digest)
        assert (found.package, found.found_as) == (package.digest, what)
        links = {link.what: link.values for link in found.links}
        assert links["version"] == ("iris:1",) and links["image"] == (f"iris:1 linux/amd64 {image}",)
        assert links["deployment"] == ("iris-live on docker",) and "run" in found.missing
    assert [(e.action, e.version) for e in registry.history("iris")][1:] == [
        ("image", 1),
        ("deployment", 1),
    ]


def test_a_parent(registry: Registry, make: MakePackage) -> None:
    base = registry.register(make("base"))
    child = registry.register(make(), parent="base:1")
    assert child.parent == base.digest
    assert {k.what: k.values for k in registry.trace("iris").links}["parent"] == (f"base:1 {base.digest}",)


def test_what_is_no_package(registry: Registry, make: MakePackage, tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match="not a Gantline package"):
        registry.register(tmp_path)
    damaged = make()
    (damaged.path / "model.onnx").write_bytes(b"x")
    with pytest.raises(VerificationFailed, match=r"model\.onnx"):
        registry.register(damaged)
    with pytest.raises(BadArtefact, match="a bare model has no manifest"):
        registry.register(Package.bare(damaged.path / "model.onnx", "m"))


def test_nothing_is_made_before_something_is_registered(tmp_path: Path) -> None:
    with Registry.open(tmp_path / "r") as registry:
        for ask in (registry.list, lambda: registry.get("iris"), lambda: registry.promote("iris:1", "a")):
            with pytest.raises(NotFound, match="there is none yet; `gantline register` makes one"):
                ask()
    assert not (tmp_path / "r").exists()


def test_its_public_name() -> None:
    assert gantline.Registry is Registry
    assert repr(Registry.open("/srv/r")) == "Registry('/srv/r')"


def test_versions_are_json(registry: Registry, make: MakePackage) -> None:
    told = registry.register(make(run="r-1", dataset="d"), alias="a", tags={"k": "v"}).to_json()
    assert json.loads(json.dumps(told)) == told
    assert (told["ref"], told["aliases"], told["tags"], told["run"]) == ("registry://iris:1", ["a"], {"k": "v"}, "r-1")
