"""Followed: an alias that a server follows, and the version of it that serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .presence import Presence
from .reference import Reference


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
    def of(cls, at: int, ref: str, presence: Presence) -> tuple[str, Followed | None]:
        """A REF's place, brought here and said to be served; and what is followed, if it names an alias."""
        reference = Reference.parse(ref)
        version, path = presence.take(ref)
        place = str(path.parent)
        if not reference.alias:
            return place, None
        return place, cls(at, version.name, reference.alias, place, version.version, version.digest)

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
