"""Deployed: a deployment is known by its image, and a later one takes its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gantline.errors import BadArtefact
from gantline.packages import Package
from gantline.registry.deployed import record_deployed
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
    registry.remove("iris:2")
    gone = registry.collect("0 seconds").blobs
    assert registry.trace(ONE).package in gone and registry.trace(TWO).package not in gone


def test_without_a_registry_nothing_is_made(tmp_path: Path, home: Path) -> None:
    assert record_deployed("flowers", {"blue": "iris:1"}, "compose") == [] and not (home / "registry.db").exists()
    (tmp_path / "registry.db").write_bytes(b"no database" * 100)
    with pytest.raises(BadArtefact, match=r"flowers is described, and not recorded .*: registry .* no SQLite database"):
        record_deployed("flowers", {"blue": "iris:1"}, "compose", str(tmp_path))
