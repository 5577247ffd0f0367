"""Usage: what keeps a version from being removed, told in one line, and what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gantline.errors import UsageError
from gantline.packages import Package
from gantline.registry import checkout
from gantline.registry.database import clock
from gantline.registry.presence import Presence
from gantline.registry.registry import Registry
from gantline.registry.usage import served

MakePackage = Callable[..., Package]


def test_servers_are_of_a_version_and_deployments_of_a_package(
    registry: Registry, where: str, make: MakePackage
) -> None:
    package = make()
    digest = registry.register(package).digest
    registry.register(package, new_version=True)
    registry.record_deployment("flowers/main", digest, target="kubernetes")
    with Presence(Registry.open(where, who="ann@a")) as a, Presence(Registry.open(where, who="bob@b")) as b:
        for one in (a, b):
            one.take("iris:2")
        with registry.database.reading() as connection:
            found = served(connection, digest, clock(connection))
        assert [(s.version, s.who) for s in found] == [(2, "ann@a"), (2, "bob@b")]
        with pytest.raises(UsageError, match=r"iris:2 is served by ann@a .* and 1 more; stop it"):
            registry.remove("iris:2")
        registry.remove("iris:1")  # nobody serves it by that number, and the package stays
    with pytest.raises(UsageError, match=r"iris:2 is deployed as flowers/main on kubernetes; .* retire flowers/main"):
        registry.remove("iris:2")
    assert registry.retire("flowers") == ["flowers/main"]
    registry.remove("iris:2")
    for _ in range(2):
        checkout.let_go(digest)
