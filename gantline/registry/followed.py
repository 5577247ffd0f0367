"""Followed: an alias that a server follows, and the version of it that serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .reference import Reference
from .registry import Registry


@dataclass(slots=True)
class Followed:
    """`at`: which of the server's REFs it is. `place`: the directory whose one numbered package serves.

    `failed`: the version that the alias points at, where that could not be served; `failures`: how often that was so.
    """

    at: int
    name: str
    alias: str
    place: str
    version: int
    digest: str
    failed: int = 0
    failures: int = 0

    @classmethod
    def of(cls, at: int, ref: str, registry: str) -> Followed | None:
        """An alias's version, brought here and in use by this process; None for a REF that names no alias."""
        reference = Reference.parse(ref)
        if not reference.alias:
            return None
        with Registry.open(registry or None) as opened:
            version = opened.get(reference)
            path = opened.path(Reference(version.name, version.version))
        return cls(at, version.name, reference.alias, str(path.parent), version.version, version.digest)

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}"

    @property
    def reference(self) -> Reference:
        return Reference(self.name, alias=self.alias)

    def to_json(self) -> dict[str, Any]:
        """What workers are told, for /metrics."""
        return {
            "name": self.name, "alias": self.alias, "version": self.failed or self.version,
            "serves": not self.failed, "failures": self.failures,
        }  # fmt: skip
