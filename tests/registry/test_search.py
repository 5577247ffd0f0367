"""Filters, as Azure's Model.list has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gantline.packages import Package
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]


@pytest.fixture
def filled(registry: Registry, make: MakePackage) -> Registry:
    registry.register(make("iris", 2), tags={"stage": "test"}, properties={"team": "x"})
    registry.register(
        make("iris", 3, dataset="flowers (119d, local), bees"), tags={"stage": "live", "gpu": ""}, run="run-2"
    )
    registry.register(
        make("wine", 2, framework="torch", dataset="cellar 2026"), tags={"stage": "live"}, properties={"team": "y"}
    )
    registry.register(make("wine", 3, framework="torch"), tags={"gpu": "1"})
    return registry


CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "iris:2 iris:1 wine:2 wine:1"),
    ({"name": "wine"}, "wine:2 wine:1"),
    ({"name": "beer"}, ""),
    ({"tags": {"stage": None}}, "iris:2 iris:1 wine:1"),
    ({"tags": {"stage": "live"}}, "iris:2 wine:1"),
    ({"tags": {"stage": "live", "gpu": None}}, "iris:2"),
    ({"tags": {"gpu": ""}}, "iris:2"),
    ({"properties": {"team": "y"}}, "wine:1"),
    ({"run": "run-2"}, "iris:2"),
    ({"dataset": "flowers"}, "iris:2"),
    ({"dataset": "bees", "framework": "sklearn"}, "iris:2"),
    ({"dataset": "cellar 2026"}, "wine:1"),
    ({"dataset": "cellar", "latest": True}, ""),
    ({"framework": "Torch"}, "wine:2 wine:1"),
    ({"latest": True}, "iris:2 wine:2"),
    ({"latest": True, "tags": {"stage": "live"}}, "iris:2"),
    ({"tags": {"' OR 1=1 --": None}}, ""),
]


def test_all_that_is_said_must_hold(filled: Registry) -> None:
    found = [" ".join(v.id for v in filled.list(**asked)) for asked, _ in CASES]
    assert found == [wanted for _, wanted in CASES]


def test_removed_versions_are_left_out(filled: Registry) -> None:
    filled.remove("iris:2")
    assert [v.id for v in filled.list(latest=True)] == ["iris:1", "wine:2"]
