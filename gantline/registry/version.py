"""Version: one registered version of a model, with all that the registry knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .moment import shown
from .reference import SCHEME


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of a package: where it is inside, and its blob. `size` in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Version:
    """A name and a number, given once; `digest` is its package's. `registered` in microseconds of UTC.

    `properties` stay as they were registered; `tags` and `aliases` change. `lineage` is the package's own, `training`
    what an MLflow tracking store said of the run, `parent` the digest of the package that it was made from.
    """

    name: str
    version: int
    digest: str
    registered: int
    who: str
    engine: str = ""
    framework: str = ""
    size: int = 0
    run: str = ""
    parent: str = ""
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    removed: int | None = None
    created: bool = False  # by the call that returned this

    @property
    def id(self) -> str:
        """`NAME:VERSION`."""
        return f"{self.name}:{self.version}"

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "name": self.name, "version": self.version, "ref": SCHEME + self.id, "digest": self.digest,
            "registered": shown(self.registered), "who": self.who, "engine": self.engine, "framework": self.framework,
            "size": self.size, "run": self.run, "parent": self.parent or None, "aliases": list(self.aliases),
            "tags": self.tags, "properties": self.properties, "lineage": self.lineage, "training": self.training,
            "removed": None if self.removed is None else shown(self.removed),
        }  # fmt: skip
