"""Deployed: a deployment is known by its image, and a later one takes its place."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, UsageError
from gantline.packages import Package
from gantline.registry.deployed import Deployments, record_deployed
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]
ONE, TWO = (f"sha256:{c * 64}" for c in "12")


def test_a_deployment_leads_to_its_package(registry: Registry, make: MakePackage, where: str) -> None:
    for digest, factor in ((ONE, 2), (TWO, 3)):
        package = registry.register(make(factor=factor)).digest
        registry.record_image(package, digest, id="", name="iris:live", platform="linux/amd64")
    images = {"blue": f"h:5000/iris@{ONE}", "green": "iris:live", "other": "nginx:1"}
    assert record_deployed("flowers", images, "compose", where) == ["blue", "green"]

    def deployed(ref: str) -> tuple[str, ...]:
        return next(link.values for link in registry.trace(ref).links if link.what == "deployment")

    assert deployed("iris:1") == ("flowers/blue on compose",)
    assert deployed("iris:2") == ("flowers/green on compose",)  # the last of that name
    assert record_deployed("flowers", {"blue": f"iris@{TWO}"}, "kubernetes", where) == ["blue"]
    assert deployed("iris:1") == ()
    assert deployed("iris:2") == ("flowers/green on compose", "flowers/blue on kubernetes")
    registry.remove("iris:1")
    with pytest.raises(UsageError, match=r"iris:2 is deployed as flowers/green on compose; .* retire flowers/green"):
        registry.remove("iris:2")
    assert registry.retire("flowers/green") == ["flowers/green"] and registry.retire("flower") == []
    with pytest.raises(UsageError, match="iris:2 is deployed as flowers/blue on kubernetes"):
        registry.remove("iris:2")
    assert registry.trace(ONE).package in registry.collect("0 seconds").blobs
    assert registry.retire("flowers") == ["flowers/blue"]
    assert [e.action for e in registry.history("iris")][-2:] == ["retire", "retire"]
    registry.remove("iris:2")
    assert registry.trace(TWO).package in registry.collect("0 seconds").blobs


@dataclass
class One:
    name: str
    image_id: str
    package: str


@dataclass
class Run:
    name: str
    place: str
    deployments: list[One]


def test_what_runs_on_this_machine(registry: Registry, make: MakePackage, where: str) -> None:
    first, second = (registry.register(make(factor=factor)).digest for factor in (2, 3))
    here, cluster = (Run("flowers", place, [One("main", ONE, first)]) for place in ("engine", "kubernetes"))
    told: list[str] = []
    deployments = Deployments(where, told.append)

    def deployed(ref: str) -> tuple[str, ...]:
        return next(link.values for link in registry.trace(ref).links if link.what == "deployment")

    deployments.run(here)
    deployments.run(cluster)
    docker = f"flowers/main@{socket.gethostname()} on docker"
    assert deployed("iris:1") == (docker, "flowers/main on kubernetes")
    here.deployments[0].package = second
    deployments.run(here)
    assert (deployed("iris:1"), deployed("iris:2")) == (("flowers/main on kubernetes",), (docker,))
    here.deployments[0].package = "sha256:" + "0" * 64  # one that nobody has registered
    deployments.run(here)
    assert deployed("iris:2") == ()
    deployments.ended(cluster)
    assert deployed("iris:1") == () and told == []


def test_a_registry_that_is_broken_stops_no_endpoint(tmp_path: Path, home: Path) -> None:
    told: list[str] = []
    for where in ("", str(tmp_path)):
        Deployments(where, told.append).run(Run("flowers", "process", [One("main", ONE, TWO)]))
        (tmp_path / "registry.db").write_bytes(b"no database" * 100)
    assert len(told) == 1 and told[0].startswith("endpoint flowers: what it runs is not recorded: registry ")
    assert not (home / "registry.db").exists()


def test_without_a_registry_nothing_is_made(tmp_path: Path, home: Path) -> None:
    assert record_deployed("flowers", {"blue": "iris:1"}, "compose") == [] and not (home / "registry.db").exists()
    (tmp_path / "registry.db").write_bytes(b"no database" * 100)
    with pytest.raises(BadArtefact, match=r"flowers is described, and not recorded .*: registry .* no SQLite database"):
        record_deployed("flowers", {"blue": "iris:1"}, "compose", str(tmp_path))
