"""RouteTable: one face's raw paths, each with the loaded model that it means: the hot front's whole lookup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from .model import Model

# the raw paths that mean a version of a model; of version "": that name none
Paths: TypeAlias = Callable[[str, str], Iterable[bytes]]


class RouteTable:
    """Follows the repository: changed a model at a time, and only on the event loop."""

    def __init__(self, paths: Paths) -> None:
        self.models: dict[bytes, Model] = {}
        self._paths = paths
        self._by_name: dict[str, list[bytes]] = {}

    def put(self, name: str, served: Mapping[str, Model]) -> None:
        """What each version of a model means from now on; without any, none of its paths is known any more."""
        found = {path: model for version, model in served.items() for path in self._paths(name, version)}
        for path in self._by_name.pop(name, ()):
            del self.models[path]
        if found:
            self._by_name[name] = list(found)
            self.models.update(found)
