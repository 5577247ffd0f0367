"""The faces described and the routes that answer are the same, and so are their methods and their rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gantline.serve.access import HTTP
from gantline.serve.openapi.faces import FACES
from starlette.routing import Route

if TYPE_CHECKING:
    from tests.serve.conftest import Running

IMPLIED = {"HEAD", "OPTIONS"}
# Azure's paths answer any method: a script may want them all
SCRIPTS = ("/score", "/swagger.json")


def test_what_is_described_is_what_is_routed(servers: Callable[..., Running]) -> None:
    routes = [r for r in servers().stack.app.routes if isinstance(r, Route)]
    routed: dict[str, set[str]] = {}
    for route in routes:
        routed.setdefault(route.path, set()).update((route.methods or set()) - IMPLIED)
    described: dict[str, set[str]] = {}
    for face in FACES:
        for one in face.operations:
            methods = described.setdefault(one.path, set())
            assert one.method.upper() not in methods, f"{one.path} is described twice"
            methods.add(one.method.upper())
    assert set(described) == set(routed) == set(HTTP)
    for path, methods in described.items():
        if path == "/" or path.endswith(SCRIPTS):
            assert methods <= routed[path], path
        else:
            assert methods == routed[path], path


def test_tags_are_told_apart() -> None:
    assert len({face.tag for face in FACES}) == len(FACES)
    names = [name for face in FACES for name in face.schemas]
    assert len(names) == len(set(names))
