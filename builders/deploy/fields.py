"""Fields: one level of a description's YAML, whose keys are taken by type and bound; what is not known fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gantline.errors import UsageError
from gantline.setting import unknown
from gantline.yaml_file import spelling


class Fields:
    """A mapping and where it stands; UsageError for anything that does not fit."""

    def __init__(self, tree: Any, where: str, known: Iterable[str] | None = None) -> None:
        if not isinstance(tree, dict):
            raise UsageError(f"{where}: expected keys and values, found {tree!r:.60}")
        if (other := next((key for key in tree if not isinstance(key, str)), "")) != "":
            raise UsageError(f"{where}: to YAML the key {spelling(other)!s:.60} is no text; write it in quotes")
        self.tree: dict[str, Any] = dict(tree)
        self.where = where
        if known is not None:
            unknown(self.tree, known, where)

    def part(self, key: str, known: Iterable[str] | None = None) -> Fields:
        """The level below, empty where nothing is said."""
        found = self.tree.get(key)
        return Fields({} if found is None else found, f"{self.where}: {key}", known)

    def text(self, key: str, default: str = "") -> str:
        """Words; a number counts as it is written."""
        found = self.tree.get(key)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise UsageError(f"{self.where}: {key}: expected text, found {found!r:.60}")
        return spelling(found)

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        found = self.tree.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise UsageError(f"{self.where}: {key}: expected a whole number from {low} to {high}, found {found!r:.60}")
        return found

    def seconds(self, key: str, default: float) -> float:
        """A number of seconds up to an hour."""
        found = self.tree.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 3600:
            raise UsageError(f"{self.where}: {key}: expected seconds from 0 to 3600, found {found!r:.60}")
        return float(found)

    def variables(self, key: str) -> dict[str, str]:
        """Names and values for an environment."""
        inner = self.part(key)
        for name, value in inner.tree.items():
            if isinstance(value, dict | list) or value is None:
                raise UsageError(f"{inner.where}: {name}: expected text, found {value!r:.60}")
        # a YAML true is what a shell would call true
        return {n: str(v).lower() if isinstance(v, bool) else spelling(v) for n, v in inner.tree.items()}

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Errors about what is made of it say where it stands."""
        try:
            yield
        except UsageError as e:
            raise UsageError(f"{self.where}: {e.message}") from e
